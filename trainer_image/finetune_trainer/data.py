"""The raw data of a job, from the Hub or from files, as one data set for each split that plays a part."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_trainer import hub, sources
from finetune_trainer.contract.run_config import DatasetSource, RunConfig
from finetune_trainer.errors import ConfigurationError, TrainerError

EVALUATION_SPLITS = ("validation", "test")
BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The splits that play a part, as they were written."""

    train: Any
    evaluation: Any | None


def raw(config: RunConfig, cache: Path, *, evaluates: bool) -> Raw:
    """Read the training split, and the evaluation split when the job evaluates."""
    source = config.dataset
    builder = _opened(source, cache)
    there = tuple(builder.info.splits)
    train = _split(builder, source, source.splits.train, source.max_samples.train)
    if not evaluates:
        return Raw(train=train, evaluation=None)
    name = source.splits.evaluation or next((name for name in EVALUATION_SPLITS if name in there), None)
    if name is None:
        raise ConfigurationError(
            "SplitNotFound",
            f"{source.uri} has no validation or test split to evaluate on; it has {', '.join(there)}. Name one in "
            "dataset.splits.evaluation, a slice such as train[90%:] if need be, or set eval_strategy: no.",
        )
    return Raw(train=train, evaluation=_split(builder, source, name, source.max_samples.evaluation))


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

    `numbers` names what is a list of numbers in an example; beside them `labels` is one number, if `encode` makes it.
    `others` names what is one value, with its type.
    """
    import datasets

    features = {name: datasets.List(datasets.Value("int32")) for name in numbers}
    if "labels" in identity:
        features["labels"] = datasets.Value("int64")
    features |= {name: datasets.Value(kind) for name, kind in others.items()}
    told = hashlib.sha256(repr((table._fingerprint, sorted(identity.items()))).encode())  # noqa: SLF001 - It has no other name.
    return table.map(
        encode,
        batched=True,
        batch_size=BATCH,
        with_indices=True,
        remove_columns=table.column_names,
        features=datasets.Features(features),
        new_fingerprint=told.hexdigest()[:32],
    )


def fingerprint(tables: Iterable[Any]) -> str:
    """The SHA-256 of tokenized data: of their numbers, not of how or where they are stored."""
    digest = hashlib.sha256()
    for table in tables:
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


def _opened(source: DatasetSource, cache: Path) -> Any:
    """The data set's builder, with everything downloaded and converted."""
    import datasets

    datasets.disable_progress_bars()
    return _read(source, lambda: sources.builder(source, cache))


def _read(source: DatasetSource, opened: Callable[[], Any]) -> Any:
    try:
        builder = opened()
        builder.download_and_prepare()
    except TrainerError:
        raise
    except Exception as problem:
        raise _in_words(problem, source) from problem
    return builder


def _in_words(problem: Exception, source: DatasetSource) -> Exception:
    """What reading failed of, for whoever can help; an unknown problem stays what it is."""
    import datasets.exceptions as known
    from huggingface_hub.errors import RevisionNotFoundError

    if (refusal := hub.refusal(problem, source.uri)) is not None:
        return refusal
    if "BuilderConfig" in str(problem) or "Config name is missing" in str(problem):
        return ConfigurationError(
            "DatasetConfigNotFound", f"{source.uri}: {_lines(problem, 2)}. Correct dataset.config."
        )
    if any(isinstance(one, RevisionNotFoundError) for one in hub.chain(problem)):
        return ConfigurationError(
            "DatasetNotFound", f"{source.uri} has no revision {source.revision}. Correct dataset.revision."
        )
    if isinstance(problem, known.DataFilesNotFoundError | known.DatasetNotFoundError):
        return ConfigurationError(
            "DatasetNotFound",
            f"{source.uri} is not on the Hub, holds no data, or is hidden from this token. Correct dataset.uri, or "
            "name a Secret with a token that may read it in hub.secretRef.",
        )
    if isinstance(problem, known.DatasetBuildError | ValueError | UnicodeError | OSError):
        deepest = [*hub.chain(problem)][-1]
        return ConfigurationError(
            "UnreadableFile",
            f"{source.uri} cannot be read: {_lines(deepest)}. Every file must be whole, of one kind and with the "
            "same columns.",
        )
    return problem


def _lines(problem: BaseException, most: int = 1) -> str:
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return " ".join(lines[:most]).rstrip(".")


def _split(builder: Any, source: DatasetSource, name: str, limit: int | None) -> Any:
    base = name.partition("[")[0]
    there = tuple(builder.info.splits)
    if base not in there:
        raise ConfigurationError(
            "SplitNotFound", f"{source.uri} has no split {base}; it has {', '.join(there)}. Correct dataset.splits."
        )
    nothing = f"{source.uri} has no rows in {name}. Give it data, or another split."
    try:
        table = builder.as_dataset(split=name)
    except (ValueError, AssertionError) as problem:
        if "no data" in str(problem):
            raise ConfigurationError("EmptyDataset", nothing) from problem
        raise ConfigurationError(
            "SplitNotFound", f"{name} is not a split or slice of {source.uri}: {problem}. Write, say, train[:90%]."
        ) from problem
    if limit is not None:
        table = table.select(range(min(limit, len(table))))
    if len(table) == 0:
        raise ConfigurationError("EmptyDataset", nothing)
    return table
