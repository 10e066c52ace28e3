"""The documents tell the truth about the commit they are in."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "AGENTS.md",
    "charts/finetune-operator/README.md",
    *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
]


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_no_table_has_a_hole(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    paragraphs = [lines.strip().splitlines() for lines in re.split(r"\n\s*\n", text)]
    tables = [lines for lines in paragraphs if any(line.startswith("|") for line in lines)]
    whole = [all(line.startswith("|") for line in lines) and set(lines[1]) <= set("|-: ") for lines in tables]
    assert whole == [True] * len(tables)


def test_the_images_are_built_under_the_tag_that_the_chart_pulls() -> None:
    chart = yaml.safe_load((ROOT / "charts/finetune-operator/Chart.yaml").read_text())
    tags = set(re.findall(r"REGISTRY/finetune-[a-z]+:(\S+)", (ROOT / "docs/installing.md").read_text()))
    assert tags == {chart["appVersion"]}


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_is_named_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z0-9-]+)", (ROOT / page).read_text(), re.MULTILINE))
    assert named - targets == set()


def test_the_readmes_job_is_the_example() -> None:
    assert (ROOT / "examples/bert-mrpc.yaml").read_text() in blocks("README.md", "yaml")


def test_the_readmes_job_has_about_twenty_lines() -> None:
    assert len((ROOT / "examples/bert-mrpc.yaml").read_text().splitlines()) <= 20


def test_every_example_has_its_row_in_the_gallery() -> None:
    rows = re.findall(
        r"^\| \[([a-z0-9-]+)\]\(../examples/\1\.yaml\) \| ([^|]+) \|",
        (ROOT / "docs/examples.md").read_text(),
        re.MULTILINE,
    )
    jobs = {path.stem: next(yaml.safe_load_all(path.read_text()))["spec"] for path in ROOT.glob("examples/*.yaml")}
    assert dict(rows) == {name: spec.get("task", "any") for name, spec in jobs.items()}


def test_every_reason_that_is_explained_is_one() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    code = "".join(p.read_text() for room in ("trainer_image", "operator") for p in ROOT.glob(f"{room}/**/*.py"))
    assert [one for one in re.findall(r"`((?:[A-Z][a-z]+){2,})`", page) if f'"{one}"' not in code] == []


def test_every_reason_of_the_trainer_is_explained() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    code = "".join(path.read_text() for path in ROOT.glob("trainer_image/**/*.py"))
    raised = set(re.findall(r"\b(?:ConfigurationError|RetryLater)\(\s*\"(\w+)\"", code))
    assert sorted(one for one in raised if f"`{one}`" not in page) == []


def test_every_reason_of_the_operator_is_explained() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    code = "".join(path.read_text() for path in ROOT.glob("operator/finetune_operator/core/*.py"))
    given = set(
        re.findall(r"\b(?:reason=|_stop\(|failed\(turn, |_of\(\w+, Cause\.\w+, )\"((?:[A-Z][a-z]+){2,})\"", code)
    )
    assert sorted(one for one in given if f"`{one}`" not in page) == []


def test_no_placeholder_is_left() -> None:
    assert re.findall(r"@[A-Z]+@", (ROOT / "README.md").read_text()) == []
