"""Multiple choice: which of several answers goes with a text; the number of answers may differ from row to row."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data.collating import Padding
from finetune_trainer.measuring import metrics, showing
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples
from finetune_trainer.tasks.choices import Choices, Question, chosen_columns
from finetune_trainer.tasks.texts import padding, vocabulary


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A model that scores every answer, and questions with their answers."""
    import transformers

    raw = examples.raw(config, args, cache)
    columns = chosen_columns(raw.train, config)
    tokenizer = models.tokenizer(config)
    model = models.model(config, transformers.AutoModelForMultipleChoice, tokenizer)
    encoding = _Encoding(config, tokenizer, models.longest(config, model, tokenizer), columns)
    loss = Choosing(smoothing=args.label_smoothing_factor)
    found = examples.examples(encoding.of, raw, config, args)
    varied = examples.varied(config, partial(encoding.encoded, config.dataset.splits.train), columns.text)
    return Prepared(
        **found.parts(drawn=varied, rows=raw.train.select_columns([*columns.columns])),
        model=model,
        processing_class=tokenizer,
        collator=Answers(padding=padding(tokenizer, args)),
        loss=loss,
        preprocess_logits_for_metrics=partial(rows, loss),
        compute_metrics=partial(measured, examples.chosen(config, plan, {"accuracy": metrics.accuracy})),
        shown=showing.choices,
    )


@dataclass(frozen=True, slots=True)
class _Encoding:
    config: RunConfig
    tokenizer: Any
    longest: int
    choices: Choices

    def of(self, table: Any, split: str) -> Any:
        """The questions of a split, each with the tokens of all its answers in one list.

        Its labels are the right answer's number and each answer's length: the Trainer drops columns of other names.
        """
        for name in self.choices.columns:
            data.column(table, name, self.config.dataset)
        inputs = tuple(self.tokenizer.model_input_names)
        identity = {
            "choices": vocabulary(self.tokenizer),
            "longest": self.longest,
            "columns": self.choices.columns,
        }
        return data.tokenized(table, partial(self.encoded, split), identity, (*inputs, "labels"))

    def encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        """The questions of some rows."""
        told = [{name: batch[name][number] for name in self.choices.columns} for number in range(len(positions))]
        questions = [self.choices.question(row, number, split) for row, number in zip(told, positions, strict=True)]
        made = [self._example(question) for question in questions]
        return {name: [one[name] for one in made] for name in made[0]}

    def _example(self, question: Question) -> dict[str, list[int]]:
        first = [question.prompt] * len(question.answers)
        pairs = (first, list(question.answers)) if question.prompt is not None else (list(question.answers),)
        encoded = self.tokenizer(*pairs, truncation=True, max_length=self.longest)
        joined = {name: [number for one in values for number in one] for name, values in encoded.items()}
        lengths = [len(one) for one in encoded["input_ids"]]
        return {**joined, "labels": [question.right, *lengths]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Batches of rows x answers x tokens; a row with fewer answers repeats its last one, which the loss leaves out."""

    padding: Padding

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of some rows."""
        counts = [len(row["labels"]) - 1 for row in rows]
        most = max(counts)
        flat = [answer for row in rows for answer in _filled(_apart(row), most)]
        batch = {name: values for name, values in self.padding(flat).items() if name != "labels"}
        shaped = {name: values.view(len(rows), most, -1) for name, values in batch.items()}
        right = [[row["labels"][0], count] for row, count in zip(rows, counts, strict=True)]
        return {**shaped, "labels": torch.tensor(right)}


def _apart(row: dict[str, Any]) -> list[dict[str, Any]]:
    lengths = row["labels"][1:]
    names = [name for name in row if name != "labels"]
    return [
        {name: row[name][end - length : end] for name in names}
        for end, length in zip(np.cumsum(lengths), lengths, strict=True)
    ]


def _filled(answers: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    return [*answers, *[answers[-1]] * (most - len(answers))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """Cross entropy over the answers that a row has; its label is the right one's number and how many there are."""

    smoothing: float = 0.0
    """The probability that label smoothing takes from the right answer, while training."""

    def items(self, labels: torch.Tensor) -> torch.Tensor:
        """How many questions there are."""
        return torch.tensor(len(labels), device=labels.device)

    def total(self, outputs: Mapping[str, Any], labels: torch.Tensor, *, training: bool) -> torch.Tensor:
        """The sum over all questions."""
        return self.of_rows(outputs["logits"], labels, smoothing=self.smoothing if training else 0.0).sum()

    def of_rows(self, logits: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """The loss of each question."""
        absent = is_absent(logits, labels)
        each = logits.float().masked_fill(absent, -torch.inf).log_softmax(-1).masked_fill(absent, 0.0)
        right = each.gather(1, labels[:, :1])[:, 0]
        return -(1 - smoothing) * right - smoothing * each.sum(-1) / labels[:, 1]


def is_absent(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Where a row has no answer of its own."""
    return torch.arange(logits.shape[1], device=logits.device) >= labels[:, 1:]


def rows(loss: Choosing, logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The loss, the count and the answer of each row."""
    scores = logits[0] if isinstance(logits, tuple) else logits
    each = loss.of_rows(scores, labels).double()
    answers = scores.masked_fill(is_absent(scores, labels), -torch.inf).argmax(-1)
    return torch.stack([each, torch.ones_like(each), answers.double()], dim=1)


def measured(wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    numbers = metrics.rows_of(evaluated)
    answers, right = numbers[:, 2].astype(np.int64), np.asarray(evaluated.label_ids, dtype=np.int64)[:, 0]
    return {"loss": metrics.mean_loss(numbers), **{name: measure(answers, right) for name, measure in wanted.items()}}
