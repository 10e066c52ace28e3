"""The run's rows, each with its number: neither doubled nor lost over any number of attempts.

Training is repeatable, so the n-th row is the same in every attempt that gets to it. The row's number is the SDK's
step: what the server already has is skipped, what it lacks is sent from the checkpoint's copy.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_trainer.tracking.media import is_media

HISTORY = "history.jsonl"
GLOBAL_STEP = "train/global_step"
PREFIXES = {"eval_": "eval/", "test_": "test/"}
CLOCKS = {"eval_runtime": "eval/eval_runtime", "test_runtime": "test/test_runtime", "mfu": "system/mfu"}
"""Named like `train/train_runtime`, so that `*_runtime` tells every column that depends on the clock."""

Row = dict[str, Any]


def row(logs: Mapping[str, Any], step: int) -> Row:
    """The Trainer's log in the columns that W&B users know from transformers' own callback."""
    return {**{column(name): value for name, value in logs.items()}, GLOBAL_STEP: step}


def column(name: str) -> str:
    """The column of one of the Trainer's names."""
    for prefix, replacement in PREFIXES.items():
        if name.startswith(prefix) and name not in CLOCKS:
            return replacement + name.removeprefix(prefix)
    return CLOCKS.get(name, f"train/{name}")


class History:
    """All rows of the run so far, by number."""

    def __init__(self, rows: tuple[Row, ...] = ()) -> None:
        self.rows = list(rows)

    def add(self, new: Row) -> int:
        """Append a row and return its number."""
        self.rows.append(new)
        return len(self.rows) - 1

    def write(self, folder: Path, settled: int = 0) -> None:
        """Put the rows into a checkpoint; the first so many, which the server has for sure, without what is large."""
        rows = (plain(one, large=number >= settled) for number, one in enumerate(self.rows))
        (folder / HISTORY).write_text("".join(json.dumps(one) + "\n" for one in rows))


def history(folder: Path) -> History:
    """The rows that a checkpoint holds."""
    path = folder / HISTORY
    if not path.exists():
        return History()
    return History(tuple(json.loads(line) for line in path.read_text().splitlines()))


def plain(one: Row, *, large: bool = True) -> Row:
    """A row that JSON can hold, with or without its tables and histograms."""
    return {name: value for name, value in one.items() if is_plain(value) or (large and is_media(value))}


def is_plain(value: object) -> bool:
    """Whether a value survives JSON unchanged."""
    return isinstance(value, str | bool | int | float | None)
