"""What the tasks on text share: their columns, their rows, and who prepares them."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from finetune_trainer import data
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError


def evaluates(args: Any) -> bool:
    """Whether training is interrupted by evaluations."""
    return str(getattr(args.eval_strategy, "value", args.eval_strategy)) != "no" or bool(args.eval_on_start)


@contextmanager
def at_once(args: Any) -> Iterator[None]:
    """Let the first process of a node prepare what the others then find."""
    if args.world_size == 1:
        yield
        return
    with args.main_process_first(local=True):
        yield


def both_splits(encoded: Callable[[Any, str], Any], raw: data.Raw, config: RunConfig, args: Any) -> tuple[Any, Any]:
    """The examples that are trained on, and those that are evaluated, if any, from the task's way of encoding them."""
    with at_once(args):
        train = encoded(raw.train, config.dataset.splits.train)
        held_out = None if raw.evaluation is None else encoded(raw.evaluation, "the evaluation split")
    return train, held_out


def test_split(encoded: Callable[[Any, str], Any], raw: data.Raw, args: Any) -> Any | None:
    """The examples that the final model predicts, if any."""
    with at_once(args):
        return None if raw.test is None else encoded(raw.test, "the test split")


def further_splits(encoded: Callable[[Any, str], Any], raw: data.Raw, args: Any) -> dict[str, Any]:
    """The examples of each further split that evaluations measure, by its name."""
    with at_once(args):
        return {name: encoded(table, f"the further split {name}") for name, table in raw.further.items()}


def text_columns(table: Any, config: RunConfig, *, most: int) -> tuple[str, ...]:
    """The columns of text: what the job names, else `text`."""
    wanted = config.dataset.columns.text or ("text",)
    if len(wanted) > most:
        raise ConfigurationError(
            "ColumnNotFound",
            f"{config.task} takes at most {most} text column{'s' if most > 1 else ''}; dataset.columns.text names "
            f"{len(wanted)}. Remove some.",
        )
    return tuple(data.column(table, name, config.dataset) for name in wanted)


def texts(values: list[Any], positions: list[int], column: str, split: str) -> list[str]:
    """The texts of a column; numbers that a CSV reader saw in it are text as well."""
    for value, row in zip(values, positions, strict=True):
        if value is None or isinstance(value, list | dict):
            raise ConfigurationError(
                "TextMissing",
                f"Row {row + 1} of {split} has no text in column {column}. Correct the row, or name another column.",
            )
    return [str(value) for value in values]


def words(values: list[Any], positions: list[int], column: str, split: str) -> list[list[str]]:
    """The lists of words of a column."""
    for value, row in zip(values, positions, strict=True):
        if not isinstance(value, list) or any(word is None or isinstance(word, list | dict) for word in value):
            raise ConfigurationError(
                "TextMissing",
                f"Row {row + 1} of {split} has no list of words in column {column}. Correct the row, or name another "
                "column.",
            )
    return [[str(word) for word in value] for value in values]


def fast(config: RunConfig, tokenizer: Any) -> Any:
    """The tokenizer, if it tells where in a text its tokens come from."""
    if not tokenizer.is_fast:
        raise ConfigurationError(
            "ModelUnsuitable",
            f"The tokenizer of {config.tokenizer.uri or config.model.uri} does not tell where its tokens come from. "
            "Name a fast tokenizer in tokenizer.uri.",
        )
    return tokenizer


def vocabulary(tokenizer: Any) -> str:
    """A name for what a tokenizer does."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    told = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(f"{type(tokenizer).__name__} {told} {tokenizer.special_tokens_map}".encode()).hexdigest()
