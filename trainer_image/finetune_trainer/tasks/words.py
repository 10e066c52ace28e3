"""How well a model tells words, the next ones or those that were taken out, from three numbers of each row."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from finetune_trainer.loss import IGNORED, CrossEntropy
from finetune_trainer.measuring import metrics


def rows(loss: CrossEntropy, logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The loss, the count and the right guesses of each row: three numbers in place of a vocabulary for each token."""
    scores = logits[0] if isinstance(logits, tuple) else logits
    guessed, targets = (scores[..., :-1, :], labels[..., 1:]) if loss.shifted else (scores, labels)
    right = (guessed.argmax(-1) == targets) & targets.ne(IGNORED)
    return torch.cat([loss.of_rows(scores, labels), right.sum(1, keepdim=True).double()], dim=1)


def _perplexity(numbers: Any) -> float:
    return metrics.perplexity(metrics.mean_loss(numbers))


def _accuracy(numbers: Any) -> float:
    return float(numbers[:, 2].sum() / max(numbers[:, 1].sum(), 1.0))


MEASURES: Mapping[str, Callable[[Any], float]] = {"perplexity": _perplexity, "accuracy": _accuracy}
"""What can be told of these numbers."""


def measured(wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    numbers = metrics.rows_of(evaluated)
    return {"loss": metrics.mean_loss(numbers), **{name: measure(numbers) for name, measure in wanted.items()}}
