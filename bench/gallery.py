"""Every example as it stands, through `finetune run --sandbox`: tiny models, invented data, this machine's cores."""

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import table

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "examples.md"
FINETUNE = Path(sys.executable).with_name("finetune")
QUICK = ("bert-mrpc",)
NEEDS_OTHERS = frozenset({"from-artifact", "buckets"})
"""They need what the sandbox does not have: another job's model, a store."""
FULL = tuple(sorted(path.stem for path in EXAMPLES.glob("*.yaml") if path.stem not in NEEDS_OTHERS))
PATIENCE = 1800


class ExamplesFailed(Exception):
    """Examples did not come to their end; the message names them."""


def measured(examples: Sequence[str]) -> dict[str, Any]:
    """Seconds and steps of each example, from the command to its end; nothing is left over between them."""
    return {name: _run(name) for name in examples}


def _run(name: str) -> dict[str, Any]:
    command = (str(FINETUNE), "run", str(EXAMPLES / f"{name}.yaml"), "--sandbox")
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    seconds = round(time.monotonic() - began, 1)
    steps = re.search(r"^steps: +(\d+)$", done.stdout, re.MULTILINE)
    if done.returncode or not steps:
        return {"seconds": seconds, "failed": done.stdout[-500:] + done.stderr[-500:]}
    return {"seconds": seconds, "steps": int(steps[1])}


def shown(figures: Mapping[str, Any]) -> str:
    """The figures as a table."""
    rows = ((name, each["seconds"], each.get("steps", "failed")) for name, each in figures.items())
    return table("Examples, by `finetune run --sandbox`", ("example", "s", "steps"), rows)


def put_down(figures: Mapping[str, Any]) -> None:
    """Write the seconds into the gallery's rows."""
    PAGE.write_text(with_seconds(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")


def with_seconds(page: str, figures: Mapping[str, Any]) -> str:
    """The page with the new seconds; an example that failed keeps its old ones."""
    for name, each in figures.items():
        if name not in failed(figures):
            row = rf"^(\| \[{re.escape(name)}\]\(.*\|)[^|\n]*\|$"
            page = re.sub(row, rf"\g<1> {each['seconds']:.0f} |", page, flags=re.MULTILINE)
    return page


def failed(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """The examples that did not come to their end."""
    return tuple(name for name, each in figures.items() if "failed" in each)
