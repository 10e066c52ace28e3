"""Several data sets as one: examples drawn from each by its weight, in an order that follows from the seed.

Smaller sets come round again until every set was used up. The order is a list of row numbers that is made before
training begins, so that a mixed job resumes as any other.
"""

from collections.abc import Callable, Mapping
from typing import Any

from finetune_trainer.contract.sources import Columns, DatasetSource, MixedSource
from finetune_trainer.errors import ConfigurationError

Read = Callable[[DatasetSource, str], Any]
"""Reads a split of a data set."""


def mixed(train: Any, source: DatasetSource, read: Read, seed: int) -> Any:
    """The training split with what `dataset.mix` adds to it."""
    import datasets

    if not source.mix:
        return train
    others = [_fitting(read(of(source, one), one.split), source, one) for one in source.mix]
    kept = [name for name in train.column_names if all(name in other.column_names for other in others)]
    features = datasets.Features({name: train.features[name] for name in kept})
    cast = [_cast(other.select_columns(kept), features, one) for other, one in zip(others, source.mix, strict=True)]
    weights = [source.weight, *(one.weight for one in source.mix)]
    return datasets.interleave_datasets(
        [train.select_columns(kept), *cast],
        probabilities=[weight / sum(weights) for weight in weights],
        seed=seed,
        stopping_strategy="all_exhausted",
    )


def of(source: DatasetSource, one: MixedSource) -> DatasetSource:
    """A data set of the mix as if it stood alone."""
    return source.model_copy(
        update={
            "uri": one.uri,
            "config": one.config,
            "revision": one.revision,
            "columns": one.columns or source.columns,
            "mix": (),
        }
    )


def _fitting(table: Any, source: DatasetSource, one: MixedSource) -> Any:
    """A data set of the mix under the first one's names of columns."""
    names = _renamed(source.columns, one.columns) if one.columns else {}
    for name in (*names, *(_named(source.columns) - {*names.values()})):
        if name not in table.column_names:
            raise ConfigurationError(
                "ColumnNotFound",
                f"{one.uri} has no column {name}; it has {', '.join(table.column_names)}. Say in dataset.mix.columns "
                "what it calls it.",
            )
    in_the_way = [new for new in names.values() if new in table.column_names and new not in names]
    return table.remove_columns(in_the_way).rename_columns({old: new for old, new in names.items() if old != new})


def _named(columns: Columns) -> set[str]:
    """The columns that play a part."""
    return {name for names in _parts(columns).values() for name in names}


def _renamed(mine: Columns, theirs: Columns) -> Mapping[str, str]:
    """The first data set's name of each column, by the other's."""
    wanted = _parts(mine)
    pairs = (zip(names, wanted.get(part, ()), strict=False) for part, names in _parts(theirs).items())
    return {old: new for pair in pairs for old, new in pair}


def _parts(columns: Columns) -> Mapping[str, tuple[str, ...]]:
    """The columns that play each part."""
    said = columns.model_dump(exclude_none=True).items()
    return {part: (value,) if isinstance(value, str) else tuple(value) for part, value in said}


def _cast(table: Any, features: Any, one: MixedSource) -> Any:
    """The columns in the first data set's types; a label keeps its name, whatever its number was."""
    import datasets
    import pyarrow as pa

    for name, wanted in features.items():
        theirs = getattr(table.features[name], "names", None)
        if theirs and theirs != getattr(wanted, "names", None) and wanted != datasets.Value("int64"):
            by_name = datasets.Features({**table.features, name: datasets.Value("string")})
            table = table.map(
                _labels_by_name, batched=True, features=by_name, fn_kwargs={"name": name, "names": theirs}
            )
    try:
        return table.cast(features)
    except (ValueError, TypeError, KeyError, pa.ArrowInvalid) as problem:
        said = (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
        raise ConfigurationError(
            "MixDoesNotFit",
            f"{one.uri} cannot be mixed in, its columns are of another kind than the first data set's: {said}. Bring "
            "both into one form, or leave it out.",
        ) from problem


def _labels_by_name(batch: dict[str, list[Any]], name: str, names: list[str]) -> dict[str, list[Any]]:
    return {**batch, name: [None if number is None else names[number] for number in batch[name]]}
