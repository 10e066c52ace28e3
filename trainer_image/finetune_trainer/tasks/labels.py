"""The names of a classification's labels, and the number of each row's label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune_trainer.contract.run_config import DatasetSource
from finetune_trainer.errors import ConfigurationError

MOST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels in order."""

    names: tuple[str, ...]
    """Their names."""
    by_number: bool
    """Whether the data hold numbers rather than names."""

    def number(self, value: Any, row: int, split: str) -> int:
        """The number of a row's label; the row is counted from 1 in messages."""
        if self.by_number:
            is_number = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            found = int(value) if is_number and 0 <= int(value) < len(self.names) else None
        else:
            found = self._positions().get(str(value)) if value is not None else None
        if found is None:
            raise ConfigurationError("LabelOutOfRange", self._refused(value, row, split))
        return found

    def _positions(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def _refused(self, value: Any, row: int, split: str) -> str:
        there = f"from 0 to {len(self.names) - 1}" if self.by_number else f"one of {_listed(self.names)}"
        said = "no label" if value is None else f"the label {value!r}"
        return (
            f"Row {row + 1} of {split} has {said}; labels are {there}. Correct the row, or list every label in "
            "dataset.labels."
        )


def _listed(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def labels(train: Any, column: str, source: DatasetSource) -> Labels:
    """The labels of a training split: what the job lists, else what the data declare, else what they hold."""
    feature = train.features[column]
    declared = tuple(getattr(feature, "names", None) or ())
    values = {value for value in train.unique(column) if value is not None}
    numbers = bool(values) and all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    if source.labels:
        return Labels(names=source.labels, by_number=bool(declared) or (numbers and not _named(values, source.labels)))
    if declared:
        return Labels(names=declared, by_number=True)
    if any(isinstance(value, float) for value in values):
        raise ConfigurationError(
            "Unsupported", f"Column {column} holds fractions; regression is not supported yet. Use class labels."
        )
    if not values:
        raise ConfigurationError("LabelOutOfRange", f"Column {column} holds no labels. Correct dataset.columns.label.")
    names = (
        tuple(f"LABEL_{number}" for number in range(max(values) + 1)) if numbers else tuple(sorted(map(str, values)))
    )
    return Labels(names=_not_too_many(names, column), by_number=numbers)


def _named(values: set[Any], names: tuple[str, ...]) -> bool:
    return {str(value) for value in values} <= set(names)


def _not_too_many(names: tuple[str, ...], column: str) -> tuple[str, ...]:
    if len(names) > MOST:
        raise ConfigurationError(
            "LabelOutOfRange",
            f"Column {column} means {len(names)} labels, more than {MOST}. Name a column of classes, numbered from 0.",
        )
    return names
