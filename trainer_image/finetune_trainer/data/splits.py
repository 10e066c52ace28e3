"""A data set's splits, downloaded or as streams; whatever is wrong with them in words for its author."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_trainer import hub, sources
from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.data import streams
from finetune_trainer.errors import ConfigurationError, TrainerError


def opened(source: DatasetSource, cache: Path) -> Any:
    """The data set's builder, with everything downloaded and converted; of a stream, its splits."""
    import datasets

    datasets.disable_progress_bars()

    def prepared() -> Any:
        builder = sources.builder(source, cache)
        if source.streaming:
            return builder.as_streaming_dataset()
        builder.download_and_prepare()
        return builder

    return _said(source, prepared)


def _said(source: DatasetSource, act: Callable[[], Any]) -> Any:
    try:
        return act()
    except TrainerError:
        raise
    except Exception as problem:
        raise _in_words(problem, source) from problem


def _in_words(problem: Exception, source: DatasetSource) -> Exception:
    """What reading failed of, for whoever can help; an unknown problem stays what it is."""
    import datasets.exceptions as known

    if (refusal := hub.refusal(problem, source.uri)) is not None:
        return refusal
    if "BuilderConfig" in str(problem) or "Config name is missing" in str(problem):
        return ConfigurationError(
            "DatasetConfigNotFound", f"{source.uri}: {_lines(problem, 2)}. Correct dataset.config."
        )
    if (unusable := _unusable(problem, source)) is not None:
        return unusable
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


def _unusable(problem: Exception, source: DatasetSource) -> ConfigurationError | None:
    """Why what is on the Hub is not what was asked for, or nothing that can be read."""
    from huggingface_hub.errors import RevisionNotFoundError

    if any(isinstance(one, RevisionNotFoundError) for one in hub.chain(problem)):
        return ConfigurationError(
            "DatasetNotFound", f"{source.uri} has no revision {source.revision}. Correct dataset.revision."
        )
    if "scripts are no longer supported" in str(problem):
        return ConfigurationError(
            "DatasetUnsupported",
            f"{source.uri} is a program that makes data, and such are no longer run. Name its files instead: "
            "dataset.revision: refs/convert/parquet, where the Hub has converted it.",
        )
    return None


def _lines(problem: BaseException, most: int = 1) -> str:
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return " ".join(lines[:most]).rstrip(".")


def names(builder: Any) -> tuple[str, ...]:
    """The splits that there are."""
    return tuple(builder) if isinstance(builder, dict) else tuple(builder.info.splits)


def split(builder: Any, source: DatasetSource, name: str, limit: int | None) -> Any:
    """The first rows of a split or slice; all of them without a limit."""
    base = name.partition("[")[0]
    there = names(builder)
    if base not in there:
        raise ConfigurationError(
            "SplitNotFound", f"{source.uri} has no split {base}; it has {', '.join(there)}. Correct dataset.splits."
        )
    if isinstance(builder, dict):
        return _said(source, lambda: streams.split(builder, source, name, limit))
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
