"""The names of a classification's labels, and the numbers of each row's label or labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from finetune_trainer import data
from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.data import streams
from finetune_trainer.errors import ConfigurationError

MOST = 4096


@dataclass(frozen=True, kw_only=True)
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
            found = self._positions.get(str(value)) if value is not None else None
        if found is None:
            raise ConfigurationError("LabelOutOfRange", self._refused(value, row, split))
        return found

    @cached_property
    def _positions(self) -> Mapping[str, int]:
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
    """The labels of a training split: what the job lists, else what the data declare, else what they hold.

    A column of lists holds several labels to a row.
    """
    declared = tuple(getattr(innermost(train.features[column]), "names", None) or ())
    values = _held(streams.head(train), column)
    numbers = bool(values) and all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    if source.labels:
        return Labels(names=source.labels, by_number=bool(declared) or (numbers and not _named(values, source.labels)))
    if declared:
        return Labels(names=declared, by_number=True)
    if any(isinstance(value, float) for value in values):
        raise ConfigurationError(
            "LabelOutOfRange", f"Column {column} holds fractions, which are no labels. Correct dataset.columns."
        )
    if len(values) < (1 if hasattr(train.features[column], "feature") else 2):
        there = f"one label, {next(iter(values))!r}, and" if values else "no labels:"
        raise ConfigurationError(
            "LabelOutOfRange",
            f"Column {column} holds {there} nothing can be learned. Correct dataset.columns.label, or list every "
            "label in dataset.labels.",
        )
    names = (
        tuple(f"LABEL_{number}" for number in range(max(values) + 1)) if numbers else tuple(sorted(map(str, values)))
    )
    return Labels(names=_not_too_many(names, column), by_number=numbers)


def weights(source: DatasetSource, names: tuple[str, ...]) -> Any | None:
    """How much each label counts, as a tensor; absent when the job weighs none."""
    import torch

    for name in source.label_weights:
        if name not in names:
            raise ConfigurationError(
                "LabelOutOfRange", f"dataset.labelWeights names {name}; labels are {_listed(names)}. Correct the name."
            )
    if not source.label_weights:
        return None
    return torch.tensor([source.label_weights.get(name, 1.0) for name in names], dtype=torch.float32)


def innermost(feature: Any) -> Any:
    """What a column holds, or what the lists in it hold."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    return feature


def _held(train: Any, column: str) -> set[Any]:
    """The different values of a column, or of the lists in it, without those that are missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: set[Any] = set()
    for batch in train.select_columns([column]).with_format("arrow").iter(data.BATCH):
        values = batch.column(column).combine_chunks()
        while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
            values = values.flatten()
        if pa.types.is_nested(values.type):
            raise ConfigurationError(
                "LabelOutOfRange", f"Column {column} holds objects, which are no labels. Correct dataset.columns."
            )
        found.update(pc.unique(values).to_pylist())
    return found - {None}


def _named(values: set[Any], names: tuple[str, ...]) -> bool:
    return {str(value) for value in values} <= set(names)


def _not_too_many(names: tuple[str, ...], column: str) -> tuple[str, ...]:
    if len(names) > MOST:
        raise ConfigurationError(
            "LabelOutOfRange",
            f"Column {column} means {len(names)} labels, more than {MOST}. Name a column of classes, numbered from 0.",
        )
    return names
