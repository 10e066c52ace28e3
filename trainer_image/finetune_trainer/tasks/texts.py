"""What the tasks on text share: their columns, their rows, their batches and their tokenizers."""

import hashlib
import logging
from typing import Any

from finetune_trainer import data
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import streams
from finetune_trainer.data.collating import Padding
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.tasks.examples import rounded_to

log = logging.getLogger(__name__)


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


def left_out(table: Any, encoded: Any, split: str, why: str) -> None:
    """Tell how many rows make no example; of a stream nobody knows."""
    if not streams.is_stream(table) and len(encoded) < len(table):
        log.warning("%d of %d rows of %s are left out: %s.", len(table) - len(encoded), len(table), split, why)


def padding(tokenizer: Any, args: Any, *, labels_rows: bool = False) -> Padding:
    """Batches as long as their longest text."""
    return Padding(pad_token_id=tokenizer.pad_token_id, multiple_of=rounded_to(args), labels_rows=labels_rows)


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
