"""The raw data of a job, from the Hub or from files, as one data set for each split that plays a part."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.data import mixing, splits, streams
from finetune_trainer.errors import ConfigurationError

EVALUATION_SPLITS = ("validation", "test")
BATCH = 1000
ROWS_OF_A_PROCESS = 10_000
"""Fewer rows are tokenized sooner than a further process starts."""
NUMBERS = "numbers"
"""The type of a list of whole numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The splits that play a part, as they were written."""

    train: Any
    evaluation: Any | None
    test: Any | None = None
    further: Mapping[str, Any] = field(default_factory=dict)
    """What every evaluation measures beside the evaluation split, by name."""


def raw(config: RunConfig, cache: Path, *, evaluates: bool) -> Raw:
    """Read the training split, the evaluation split when the job evaluates, the test split when it names one."""
    source = config.dataset
    builder = splits.opened(source, cache)
    name, most = source.splits.test, source.max_samples.evaluation
    return Raw(
        train=_train(builder, config, cache),
        evaluation=_held_out(builder, source, _evaluated(builder, source), most) if evaluates else None,
        test=None if name is None else _held_out(builder, source, name, None),
        further={one.name: _held_out(builder, source, one.split, most) for one in source.splits.further if evaluates},
    )


def _evaluated(builder: Any, source: DatasetSource) -> str:
    there = splits.names(builder)
    name = source.splits.evaluation or next((name for name in EVALUATION_SPLITS if name in there), None)
    if name is None:
        raise ConfigurationError(
            "SplitNotFound",
            f"{source.uri} has no validation or test split to evaluate on; it has {', '.join(there)}. Name one in "
            "dataset.splits.evaluation, a slice such as train[90%:] if need be, or set eval_strategy: no.",
        )
    return name


def _held_out(builder: Any, source: DatasetSource, name: str, limit: int | None) -> Any:
    table = splits.split(builder, source, name, limit)
    return streams.whole(table) if source.streaming else table


def _train(builder: Any, config: RunConfig, cache: Path) -> Any:
    """The training split, with what is mixed into it."""
    source, limit = config.dataset, config.dataset.max_samples.train
    train = splits.split(builder, source, source.splits.train, None if source.mix else limit)
    if not source.mix:
        return train

    def read(one: DatasetSource, name: str) -> Any:
        return splits.split(splits.opened(one, cache), one, name, None)

    table = mixing.mixed(train, source, read, streams.seed(config))
    if limit is None:
        return table
    return table.take(limit) if source.streaming else table.select(range(min(limit, len(table))))


def column(table: Any, name: str, source: DatasetSource) -> str:
    """A column's name, if the data set has it."""
    if name not in table.column_names:
        raise ConfigurationError(
            "ColumnNotFound",
            f"{source.uri} has no column {name}; it has {', '.join(table.column_names)}. Correct dataset.columns.",
        )
    return name


Encode = Callable[[dict[str, list[Any]], list[int]], dict[str, list[Any]]]


def tokenized(table: Any, encode: Encode, identity: Mapping[str, Any], numbers: Sequence[str], **others: str) -> Any:
    """The examples that `encode` makes of batches of rows; kept under a name that follows from `identity`.

    `numbers` names what is a list of numbers in an example; `others` names what else is in it, with its type.
    """
    import datasets

    types = dict.fromkeys(numbers, NUMBERS) | others
    features = {
        name: datasets.List(datasets.Value("int32")) if kind == NUMBERS else datasets.Value(kind)
        for name, kind in types.items()
    }
    options: dict[str, Any] = {"batched": True, "batch_size": BATCH, "with_indices": True}
    options |= {"remove_columns": table.column_names, "features": datasets.Features(features)}
    if streams.is_stream(table):
        return table.map(encode, **options)
    told = hashlib.sha256(repr((table._fingerprint, sorted(identity.items()))).encode())  # noqa: SLF001 - It has no other name.
    with _own_environment():
        return table.map(encode, new_fingerprint=told.hexdigest()[:32], num_proc=processes(len(table)), **options)


@contextlib.contextmanager
def _own_environment() -> Iterator[None]:
    """Keep `os.environ` the object that it is: where datasets has used several processes, it leaves a copy there."""
    own = os.environ
    try:
        yield
    finally:
        os.environ = own  # noqa: B003 - It is the same environment.


def processes(rows: int) -> int | None:
    """In how many processes rows are tokenized: as many as this rank has threads; none where they are few.

    What comes out does not depend on it, but every attempt begins with it.
    """
    import torch

    useful = min(torch.get_num_threads(), rows // ROWS_OF_A_PROCESS)
    return useful if useful > 1 else None


def fingerprint(tables: Iterable[Any]) -> str:
    """The SHA-256 of the numbers in tokenized data, however they are stored; of a stream, of those at its head."""
    digest = hashlib.sha256()
    for table in map(streams.head, tables):
        digest.update(f"{len(table)} {sorted(table.column_names)};".encode())
        for batch in table.with_format("arrow").iter(BATCH):
            for name in sorted(table.column_names):
                _add(digest, batch.column(name).combine_chunks())
    return digest.hexdigest()


def _add(digest: Any, values: Any) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        _add(digest, pc.list_value_length(values))
        values = values.flatten()
    kind = pa.float64() if pa.types.is_floating(values.type) else pa.int64()
    digest.update(values.cast(kind).to_numpy(zero_copy_only=False).tobytes())
