"""The chart, by the real Helm and the real unit test program."""

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_sandbox.binaries import binary

CHART = Path(__file__).parents[2] / "charts" / "finetune-operator"
KEY = re.compile(r"^( *)(\w+):")


def output(program: str, *arguments: str) -> str:
    done = subprocess.run(
        (binary(program), *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.control_plane
def test_helm_finds_nothing_to_say_about_the_chart() -> None:
    assert "0 chart(s) failed" in output("helm", "lint", "--strict", str(CHART))


@pytest.mark.control_plane
def test_the_charts_own_suites_pass() -> None:
    assert "Charts:      1 passed, 1 total" in output("helm-unittest", "--strict", str(CHART))


def leaves(values: dict[str, Any], above: str = "") -> set[str]:
    """The dotted names of the values that a comment must explain."""
    paths = set()
    for name, value in values.items():
        is_group = isinstance(value, dict) and value and name != "resources"
        paths |= leaves(value, f"{above}{name}.") if is_group else {above + name}
    return paths


def documented(text: str) -> set[str]:
    """The dotted names of the values that stand below a `# --` comment."""
    found: set[str] = set()
    path: list[str] = []
    lines = text.splitlines()
    for before, line in itertools.pairwise(lines):
        if match := KEY.match(line):
            path = [*path[: len(match[1]) // 2], match[2]]
            if before.lstrip().startswith("# -- "):
                found.add(".".join(path))
    return found


def test_every_value_is_explained_in_the_values_file() -> None:
    text = (CHART / "values.yaml").read_text()
    assert documented(text) == leaves(yaml.safe_load(text))


def test_every_value_stands_in_the_readme_with_its_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = re.findall(r"^\| `([\w.]+)` \| `(.*)` \| .+ \|$", (CHART / "README.md").read_text(), re.MULTILINE)
    assert {name: json.loads(default) for name, default in rows} == {name: at(values, name) for name in leaves(values)}


def at(values: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def open_objects(schema: dict[str, Any], above: str = "") -> set[str]:
    """Where the schema lets unknown names through although it knows some."""
    inner = schema.get("properties", {})
    here = {above} if inner and schema.get("additionalProperties") is not False else set()
    return here.union(*(open_objects(each, f"{above}.{name}") for name, each in inner.items()))


def test_the_schema_refuses_every_name_that_it_does_not_know() -> None:
    assert open_objects(json.loads((CHART / "values.schema.json").read_text())) == set()
