"""Data sets that are read while training: which jobs may have one, and what is known of it before it was read.

An attempt that resumes reads past what was seen before; that is exact, and takes the time of reading.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.errors import ConfigurationError

HEAD = 100
"""How many rows are read ahead, to find the columns and labels and to know the data again."""
DEFAULT_SEED = 42
"""transformers' seed."""


def is_stream(table: Any) -> bool:
    """Whether a table is read while training."""
    import datasets

    return isinstance(table, datasets.IterableDataset)


def settings(config: RunConfig) -> dict[str, Any]:
    """Arguments that a stream needs; refuses those that make no sense of it."""
    if not config.dataset.streaming:
        return {}
    training = config.training
    if config.task == "image-classification" or config.tokenizer.packing:
        what = "tokenizer.packing, which must know" if config.tokenizer.packing else "image-classification, which reads"
        raise ConfigurationError(
            "Unsupported",
            f"dataset.streaming does not go with {what} all data before training. Leave it out, and limit the data "
            "with dataset.maxSamples.",
        )
    if training.max_steps is None or training.max_steps < 1:
        raise ConfigurationError(
            "StreamWithoutEnd", "A stream has no length: with dataset.streaming set training.max_steps."
        )
    for name in ("logging_strategy", "eval_strategy", "save_strategy"):
        if getattr(training, name) == "epoch":
            raise ConfigurationError(
                "StreamWithoutEpochs", f"A stream has no epochs: with dataset.streaming set training.{name}: steps."
            )
    # By default one process reads and sends the others their rows, which must then be padded alike.
    return {"accelerator_config": {**(training.accelerator_config or {}), "dispatch_batches": False}}


def split(there: Mapping[str, Any], source: DatasetSource, name: str, limit: int | None) -> Any:
    """One split as a stream, with its columns known."""
    if "[" in name:
        raise ConfigurationError(
            "SplitNotFound",
            f"A stream is read from its beginning: {name} is a slice. Name a whole split in dataset.splits, and limit "
            "it with dataset.maxSamples.",
        )
    table = there[name] if limit is None else there[name].take(limit)
    if next(iter(table), None) is None:
        raise ConfigurationError("EmptyDataset", f"{source.uri} has no rows in {name}. Give it data, or another split.")
    return table if table.features is not None else table._resolve_features()  # noqa: SLF001 - Nothing public does.


def flat(table: Any) -> Any:
    """The table with what lies in columns of columns as columns of their own: translation.en."""
    if not is_stream(table):
        return table.flatten()
    features = table.features.flatten()

    def spread(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in _leaves(row) if name in features}

    return table.map(spread, remove_columns=table.column_names, features=features)


def _leaves(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def whole(table: Any) -> Any:
    """A stream read to its end, into memory."""
    import datasets

    return datasets.Dataset.from_list([*table], features=table.features)


def head(table: Any) -> Any:
    """What is known of a table before training: of a stream the first rows, of any other all."""
    return whole(table.take(HEAD)) if is_stream(table) else table


def seed(config: RunConfig) -> int:
    """What the order of the data follows from."""
    training = config.training
    chosen = training.data_seed if training.data_seed is not None else training.seed
    return DEFAULT_SEED if chosen is None else chosen
