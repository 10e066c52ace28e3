"""What a text or an image can be answered with: one label of several, any number of labels, or an amount.

Each says how the data write it, what is minimised, what leaves the device of an evaluation and what is measured.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from finetune_trainer import data
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import BinaryCrossEntropy, CrossEntropy, SquaredError, TaskLoss
from finetune_trainer.measuring import class_metrics, metrics, showing
from finetune_trainer.measuring.showing import Part
from finetune_trainer.tasks.labels import Labels, innermost, labels, weights

Measures = Mapping[str, Callable[[Any, Any], float]]


class Answer(Protocol):
    """One of the three."""

    type: ClassVar[str]
    """The type of a row's `labels`, for `data.tokenized`."""

    @property
    def loss(self) -> TaskLoss:
        """What is minimised."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the model's configuration says of it."""

    def label(self, value: Any, row: int, split: str) -> Any:
        """A row's `labels`, from what the data hold."""

    def rows(self, logits: Any, labels: torch.Tensor) -> torch.Tensor:
        """The loss, the count and the answer of each row."""

    def read(self, answers: Any, right: Any) -> tuple[Any, Any]:
        """The answers of rows and the right ones, as they are measured."""

    @property
    def measures(self) -> Measures:
        """The metrics of such answers."""

    usual: ClassVar[tuple[str, ...]]
    """Those that are measured where the job names none; all when empty."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that an answer is one of."""

    def shown(self, trainer: Any, batch: dict[str, Any]) -> Part:
        """How a table of predictions shows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLabel:
    """One label of several."""

    labels: Labels
    loss: CrossEntropy
    type: ClassVar[str] = "int64"

    @property
    def settings(self) -> dict[str, Any]:
        """The names of the outputs."""
        return _named(self.labels) | {"problem_type": "single_label_classification"}

    def label(self, value: Any, row: int, split: str) -> int:
        """The number of the label."""
        return self.labels.number(value, row, split)

    def shown(self, trainer: Any, batch: dict[str, Any]) -> Part:
        """Each with its score."""
        return showing.classes(trainer, batch)

    def rows(self, logits: Any, labels: torch.Tensor) -> torch.Tensor:
        """The answer is the label with the highest score."""
        scores = _scores(logits)
        return torch.cat([self.loss.of_rows(scores, labels), scores.argmax(-1, keepdim=True).double()], dim=1)

    def read(self, answers: Any, right: Any) -> tuple[Any, Any]:
        """Numbers of labels."""
        return answers[:, 0].astype(np.int64), np.asarray(right, dtype=np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the labels."""
        return self.labels.names

    @property
    def measures(self) -> Measures:
        """Of the labels as a whole."""
        return class_metrics.of_classes(len(self.labels.names))

    usual: ClassVar[tuple[str, ...]] = class_metrics.USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyLabels:
    """Any number of labels, or none."""

    labels: Labels
    loss: BinaryCrossEntropy
    column: str
    type: ClassVar[str] = data.NUMBERS
    names: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[tuple[str, ...]] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The names of the outputs."""
        return _named(self.labels) | {"problem_type": "multi_label_classification"}

    def label(self, value: Any, row: int, split: str) -> list[int]:
        """A one for each label that the row has, zeros for the others."""
        if not isinstance(value, list):
            raise ConfigurationError(
                "LabelOutOfRange",
                f"Row {row + 1} of {split} has no list of labels in column {self.column}. Write each row's labels as a "
                "list, an empty one for none.",
            )
        numbers = [self.labels.number(one, row, split) for one in value]
        if len(set(numbers)) < len(numbers):
            raise ConfigurationError(
                "LabelOutOfRange",
                f"Row {row + 1} of {split} names a label twice. List the names or numbers of the labels that a row "
                "has, not a zero or one for every label.",
            )
        return [int(number in numbers) for number in range(len(self.labels.names))]

    def shown(self, trainer: Any, batch: dict[str, Any]) -> Part:
        """Those that are more probable than not."""
        return showing.several(trainer, batch)

    def rows(self, logits: Any, labels: torch.Tensor) -> torch.Tensor:
        """The answers are yes for labels that are more probable than not."""
        scores = _scores(logits)
        return torch.cat([self.loss.of_rows(scores, labels), (scores > 0).double()], dim=1)

    def read(self, answers: Any, right: Any) -> tuple[Any, Any]:
        """Yes or no for every label."""
        return answers.astype(np.bool_), np.asarray(right).astype(np.bool_)

    @property
    def measures(self) -> Measures:
        """Of all labels together (micro), of each label (macro), of rows."""
        return {"f1_micro": metrics.f1_micro, "f1_macro": metrics.f1_macro, "accuracy": metrics.exact_sets}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A number."""

    loss: SquaredError
    column: str
    type: ClassVar[str] = "float32"
    names: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[tuple[str, ...]] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """One output."""
        return {"num_labels": 1, "problem_type": "regression"}

    def label(self, value: Any, row: int, split: str) -> float:
        """The number."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number:
            raise ConfigurationError(
                "LabelOutOfRange",
                f"Row {row + 1} of {split} has {'no label' if value is None else repr(value)} in column {self.column}, "
                "which is learned as a number. Correct the row, or list the labels in dataset.labels to learn classes.",
            )
        return float(value)

    def shown(self, trainer: Any, batch: dict[str, Any]) -> Part:
        """As they are."""
        return showing.values(trainer, batch)

    def rows(self, logits: Any, labels: torch.Tensor) -> torch.Tensor:
        """The answer is the score itself."""
        scores = _scores(logits)
        return torch.cat([self.loss.of_rows(scores, labels), scores.double()], dim=1)

    def read(self, answers: Any, right: Any) -> tuple[Any, Any]:
        """Numbers."""
        return answers[:, 0], np.asarray(right, dtype=np.float64)

    @property
    def measures(self) -> Measures:
        """Of the distances."""
        return {
            "mse": metrics.mean_squared_error,
            "mae": metrics.mean_absolute_error,
            "pearson": metrics.pearson,
        }


def answer(config: RunConfig, args: Any, train: Any, column: str) -> Answer:
    """What the rows are answered with: as `problem_type` in model.config says, else as the label column looks."""
    source, smoothing = config.dataset, args.label_smoothing_factor
    match config.model.config.get("problem_type") or _looks_like(train.features[column], source):
        case "single_label_classification":
            known = labels(train, column, source)
            loss = CrossEntropy(shifted=False, smoothing=smoothing, weights=weights(source, known.names))
            return OneLabel(labels=known, loss=loss)
        case "multi_label_classification":
            _refuse({"training.label_smoothing_factor": smoothing}, "several labels to a row")
            known = labels(train, column, source)
            return AnyLabels(labels=known, loss=BinaryCrossEntropy(weights=weights(source, known.names)), column=column)
        case "regression":
            unused = {"dataset.labels": source.labels, "dataset.labelWeights": source.label_weights}
            _refuse({"training.label_smoothing_factor": smoothing, **unused}, "regression")
            return Amount(loss=SquaredError(), column=column)
        case other:
            raise ConfigurationError(
                "ModelConfigUnknown",
                f"model.config: problem_type {other} is none of single_label_classification, "
                "multi_label_classification and regression. Correct it.",
            )


def _looks_like(feature: Any, source: DatasetSource) -> str:
    """Lists are several labels to a row, fractions that nobody names are amounts."""
    if innermost(feature) is not feature:
        return "multi_label_classification"
    if str(getattr(feature, "dtype", "")).startswith(("float", "double", "decimal")) and not source.labels:
        return "regression"
    return "single_label_classification"


def _refuse(fields: Mapping[str, Any], what: str) -> None:
    for name, value in fields.items():
        if value:
            raise ConfigurationError("Unsupported", f"{name} means nothing for {what}. Remove it from the job.")


def _named(known: Labels) -> dict[str, Any]:
    numbered = dict(enumerate(known.names))
    return {"id2label": numbered, "label2id": {name: n for n, name in numbered.items()}, "num_labels": len(numbered)}


def _scores(logits: Any) -> torch.Tensor:
    found: torch.Tensor = logits[0] if isinstance(logits, tuple) else logits
    return found


def measured(asked: Answer, wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    answers, right = answered(asked, evaluated)
    loss = metrics.mean_loss(metrics.rows_of(evaluated))
    return {"loss": loss, **{name: measure(answers, right) for name, measure in wanted.items()}}


def answered(asked: Answer, evaluated: Any) -> tuple[Any, Any]:
    """The answers of an evaluation and the right ones."""
    return asked.read(metrics.rows_of(evaluated)[:, 2:], evaluated.label_ids)
