"""Conversations: a causal language model learns the assistant's turns, or to complete a prompt."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.sources import Columns
from finetune_trainer.data import streams
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED
from finetune_trainer.measuring import showing
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples
from finetune_trainer.tasks.chats import Chats, Example, chats, turns
from finetune_trainer.tasks.text_generation import causal_model, language_model
from finetune_trainer.tasks.texts import left_out, vocabulary

NUMBERS = ("input_ids", "attention_mask", "labels")


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A causal language model and conversations, of which the job says what is learned."""
    raw = examples.raw(config, args, cache)
    tokenizer = models.tokenizer(config)
    model = causal_model(config, tokenizer)
    longest = models.longest(config, model, tokenizer)
    encoding = _Encoding(config, chats(config, tokenizer), longest, columns(config.dataset.columns))
    found = examples.examples(encoding.of, raw, config, args)
    made = language_model(config, plan, args, model, tokenizer, found)
    return replace(made, shown=showing.answered)


def columns(named: Columns) -> tuple[str, ...]:
    """The column of conversations, or those of prompts and completions."""
    if named.prompt is None and named.completion is None:
        return (named.messages or "messages",)
    if named.prompt is None or named.completion is None or named.messages is not None:
        raise ConfigurationError(
            "ColumnNotFound",
            "conversational takes either dataset.columns.messages, or dataset.columns.prompt and "
            "dataset.columns.completion. Correct dataset.columns.",
        )
    return named.prompt, named.completion


@dataclass(frozen=True, slots=True)
class _Encoding:
    config: RunConfig
    chats: Chats
    longest: int
    columns: tuple[str, ...]

    def of(self, table: Any, split: str) -> Any:
        """The tokenized conversations of a split, without those of which nothing is left to learn."""
        for name in self.columns:
            data.column(table, name, self.config.dataset)
        identity = {
            "tokenizer": vocabulary(self.chats.tokenizer),
            "longest": self.longest,
            "columns": self.columns,
            "learned": self.chats.learned,
            "template": self.chats.template,
        }
        encoded = data.tokenized(table, partial(self._encoded, split), identity, NUMBERS)
        if len(streams.head(encoded)) == 0:
            raise ConfigurationError(
                "EmptyDataset",
                f"Nothing is left to learn of {split} within {self.longest} tokens. Raise tokenizer.maxLength, or "
                "correct dataset.columns.",
            )
        left_out(table, encoded, split, "nothing in them is learned")
        return encoded

    def _encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        rows = zip(*(batch[name] for name in self.columns), strict=True)
        made = [self._example(row, f"Row {number + 1} of {split}") for row, number in zip(rows, positions, strict=True)]
        cut = [(ids[: self.longest], labels[: self.longest]) for ids, labels in made]
        kept = [(ids, labels) for ids, labels in cut if any(one != IGNORED for one in labels[1:])]
        return {
            "input_ids": [ids for ids, _ in kept],
            "attention_mask": [[1] * len(ids) for ids, _ in kept],
            "labels": [labels for _, labels in kept],
        }

    def _example(self, row: tuple[Any, ...], where: str) -> Example:
        if len(self.columns) == 1:
            return self.chats.whole(turns(row[0], where), where)
        ids, labels = self.chats.of(row[0], row[1], where)
        return ids, list(ids) if self.chats.learned == "all" else labels
