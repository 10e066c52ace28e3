"""Good and bad jobs and edits, each with its answer; the API server and `finetune validate` are held to one table."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_cli.jobs import jobs

FOLDER = Path(__file__).parent


def base() -> dict[str, Any]:
    """The job that every case changes."""
    (job,) = jobs(str(FOLDER / "base.yaml"))
    return job


def merged(value: Any, change: Any) -> Any:
    """A JSON merge patch, applied."""
    if not isinstance(change, dict):
        return change
    old = value if isinstance(value, dict) else {}
    kept = {k: v for k, v in old.items() if k not in change}
    return kept | {k: merged(old.get(k), v) for k, v in change.items() if v is not None}


def table(file: str) -> list[Any]:
    """The cases of a file as parameters of a test, named by their sentences."""
    cases = yaml.safe_load((FOLDER / file).read_text())
    return [pytest.param(case, id=case["case"].replace(" ", "-")) for case in cases]
