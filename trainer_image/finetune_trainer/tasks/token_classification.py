"""Token classification: one label for each word; the first piece of a word carries it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED, CrossEntropy
from finetune_trainer.measuring import entities, metrics, showing
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples
from finetune_trainer.tasks.labels import Labels, labels, weights
from finetune_trainer.tasks.texts import fast, padding, vocabulary, words


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A classifier of tokens with as many outputs as the data have labels."""
    import transformers

    raw = examples.raw(config, args, cache)
    given = config.dataset.columns
    tokens = data.column(raw.train, given.tokens or "tokens", config.dataset)
    tags = data.column(raw.train, given.tags or "tags", config.dataset)
    known = labels(raw.train, tags, config.dataset)
    tokenizer = _of_words(fast(config, models.tokenizer(config)))
    model = models.model(
        config,
        transformers.AutoModelForTokenClassification,
        tokenizer,
        id2label=dict(enumerate(known.names)),
        label2id={name: number for number, name in enumerate(known.names)},
        num_labels=len(known.names),
    )
    encoding = _Encoding(config, tokenizer, models.longest(config, model, tokenizer), tokens, tags, known)
    loss = CrossEntropy(
        shifted=False, smoothing=args.label_smoothing_factor, weights=weights(config.dataset, known.names)
    )
    return Prepared(
        **examples.examples(encoding.of, raw, config, args).parts(),
        model=model,
        processing_class=tokenizer,
        collator=padding(tokenizer, args),
        loss=loss,
        preprocess_logits_for_metrics=partial(rows, loss),
        compute_metrics=partial(measured, examples.chosen(config, plan, entities.measures(known.names))),
        shown=showing.tags,
    )


def _of_words(tokenizer: Any) -> Any:
    """The tokenizer, set to read words one by one."""
    pieces = tokenizer.backend_tokenizer.pre_tokenizer
    if getattr(pieces, "add_prefix_space", None) is False:
        pieces.add_prefix_space = tokenizer.add_prefix_space = True  # Words of GPT-2 and its kin begin with a space.
    return tokenizer


@dataclass(frozen=True, slots=True)
class _Encoding:
    config: RunConfig
    tokenizer: Any
    longest: int
    tokens: str
    tags: str
    labels: Labels

    def of(self, table: Any, split: str) -> Any:
        """The tokenized rows of a split."""
        for name in (self.tokens, self.tags):
            data.column(table, name, self.config.dataset)
        identity = {
            "tokenizer": vocabulary(self.tokenizer),
            "longest": self.longest,
            "columns": (self.tokens, self.tags),
            "tags": self.labels.names,
        }
        numbers = ("labels", *self.tokenizer.model_input_names)
        return data.tokenized(table, partial(self._encoded, split), identity, numbers)

    def _encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        given = words(batch[self.tokens], positions, self.tokens, split)
        encoded = self.tokenizer(given, is_split_into_words=True, truncation=True, max_length=self.longest)
        numbered = zip(given, batch[self.tags], positions, strict=True)
        numbers = [self._numbers(one, tags, row, split) for one, tags, row in numbered]
        placed = [[*first_pieces(encoded.word_ids(place), one)] for place, one in enumerate(numbers)]
        return {**encoded, "labels": placed}

    def _numbers(self, given: list[str], tags: Any, row: int, split: str) -> list[int]:
        count = len(tags) if isinstance(tags, list) else 0
        if count != len(given):
            raise ConfigurationError(
                "LabelsDoNotFit",
                f"Row {row + 1} of {split} has {len(given)} words in column {self.tokens} and {count} labels in column "
                f"{self.tags}. Give every word one label.",
            )
        return [self.labels.number(tag, row, split) for tag in tags]


def first_pieces(of_words: Iterable[int | None], numbers: list[int]) -> Iterator[int]:
    """The label of each piece: its word's for the first piece of a word, none for others and special tokens."""
    before = None
    for word in of_words:
        yield IGNORED if word is None or word == before else numbers[word]
        before = word


def rows(loss: CrossEntropy, logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The loss and the count of each row, then the answer for each token."""
    scores = logits[0] if isinstance(logits, tuple) else logits
    return torch.cat([loss.of_rows(scores, labels), scores.argmax(-1).double()], dim=1)


def measured(wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    numbers = metrics.rows_of(evaluated)
    answers, right = entities.labelled(numbers[:, 2:], evaluated.label_ids)
    return {"loss": metrics.mean_loss(numbers), **{name: measure(answers, right) for name, measure in wanted.items()}}
