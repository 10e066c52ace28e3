"""Whether two runs are the same: final weights bit for bit, and every row of history but its clock readings."""

import fnmatch
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune_trainer.contract.tracking import run_ids

if TYPE_CHECKING:  # The server's pages show comparisons.
    from finetune_sandbox.wandb_server.records import Records, RunRecord

CLOCKS = ("_step", "_timestamp", "_runtime", "*_runtime", "*_per_second", "system/*")
"""Columns that tell when and how fast, not what; they differ between any two runs."""

Row = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run has left: its rows without clock readings, and the hash of each file of weights."""

    run_id: str
    rows: tuple[Row, ...]
    weights: Mapping[str, str]

    @property
    def steps(self) -> tuple[int, ...]:
        """The training steps that have a row, in the order of the history."""
        return tuple(int(row["train/global_step"]) for row in map(dict, self.rows) if "train/loss" in row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two results side by side."""

    left: Result
    right: Result

    @property
    def are_weights_identical(self) -> bool:
        """Whether both have weights, and the same ones."""
        return bool(self.left.weights) and self.left.weights == self.right.weights

    @property
    def are_weights_unknown(self) -> bool:
        """Whether neither has weights, as a program of the author's own that keeps its model to itself."""
        return not self.left.weights and not self.right.weights

    @property
    def are_histories_identical(self) -> bool:
        """Whether both have rows, and the same ones in the same order."""
        return bool(self.left.rows) and self.left.rows == self.right.rows

    @property
    def is_identical(self) -> bool:
        """Whether nothing tells the two apart."""
        return self.are_weights_identical and self.are_histories_identical

    @property
    def first_difference(self) -> str | None:
        """Where the two part, in a sentence; None when they do not."""
        for number, (ours, theirs) in enumerate(zip(self.left.rows, self.right.rows, strict=False)):
            if ours != theirs:
                return f"Row {number} is {dict(ours)} in one run and {dict(theirs)} in the other."
        if len(self.left.rows) != len(self.right.rows):
            return f"One run has {len(self.left.rows)} rows, the other {len(self.right.rows)}."
        if not self.left.rows:
            return "Neither run has a row."
        return self._different_weights

    @property
    def _different_weights(self) -> str | None:
        ours, theirs = self.left.weights, self.right.weights
        if self.are_weights_unknown:
            return (
                "The histories are the same; whether the weights are nobody knows, for neither run has published a "
                "model. Log it as the artifact model-RUN_ID to have it compared."
            )
        if not ours or not theirs:
            return f"Only the run {(self.left if ours else self.right).run_id} has published a model."
        files = ", ".join(name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name))
        return f"The final weights differ, in {files}." if files else None


def compared(records: "Records", left: str, right: str) -> Comparison:
    """The results of two runs by their ids; KeyError when one of them is not there."""
    return Comparison(left=result(records, left), right=result(records, right))


def result(records: "Records", run_id: str) -> Result:
    """What the run of that id has left, or the one that went on when it was deleted."""
    first, second = run_ids(run_id)
    try:
        run = records.run(first)
    except KeyError:
        run = records.run(second)
    return left_by(records, run, model=f"model-{run_id}")


def left_by(records: "Records", run: "RunRecord", model: str | None = None) -> Result:
    """What a run has left; of the versions of its model the last one that arrived whole."""
    place = (run.entity, run.project)
    versions = [each for each in records.artifacts(model or f"model-{run.id}") if (each.entity, each.project) == place]
    whole = [each.files for each in versions if each.state == "COMMITTED"]
    files = whole[-1] if whole else {}
    weights = {n: _hash(p.read_bytes()) for n, p in sorted(files.items()) if n.endswith(".safetensors")}
    return Result(run_id=run.id, rows=tuple(_rows(run.history)), weights=weights)


def _rows(history: Iterable[Mapping[str, Any]]) -> Iterable[Row]:
    for row in history:
        kept = tuple(sorted((name, _content(value)) for name, value in row.items() if not _is_clock(name)))
        if kept:
            yield kept


def _content(value: Any) -> Any:
    """A table or picture by the hash of its file: where it lies is told by the run's id."""
    return value["sha256"] if isinstance(value, Mapping) and "sha256" in value else value


def _is_clock(column: str) -> bool:
    return any(fnmatch.fnmatchcase(column, pattern) for pattern in CLOCKS)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
