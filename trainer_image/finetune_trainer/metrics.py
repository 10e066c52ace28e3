"""What an evaluation measures, from a few numbers of each row: logits never leave the batch they belong to."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune_trainer.errors import ConfigurationError

Labels = npt.NDArray[np.int64]


def accuracy(predicted: Labels, labels: Labels) -> float:
    """The share of right answers."""
    return float((predicted == labels).mean()) if labels.size else 0.0


def f1(predicted: Labels, labels: Labels, classes: int) -> float:
    """The F1 of class 1 of two, else the mean of every class's (macro); 0 for a class that never occurs."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    right = np.diag(counts)
    both = counts.sum(0) + counts.sum(1)
    each = np.divide(2 * right, both, out=np.zeros(classes), where=both > 0)
    return float(each[1]) if classes == 2 else float(each.mean())


def perplexity(loss: float) -> float:
    """The exponential of the mean loss of a token."""
    return math.exp(loss) if loss < 700 else math.inf


def mean_loss(rows: npt.NDArray[np.float64]) -> float:
    """The mean over all that was predicted, from the sums and counts of rows."""
    return float(rows[:, 0].sum() / max(rows[:, 1].sum(), 1.0))


def chosen(
    names: tuple[str, ...], known: Mapping[str, Callable[..., float]], *, loss_only: bool
) -> Mapping[str, Callable[..., float]]:
    """The metrics that the job names, all of the task's when it names none."""
    for name in names:
        if name not in known:
            raise ConfigurationError(
                "MetricUnknown",
                f"evaluation.metrics: {name} is not a metric of this task. It has: {', '.join(known)}.",
            )
    if loss_only:
        return {}
    return {name: known[name] for name in names or known}


def rows_of(evaluated: Any) -> npt.NDArray[np.float64]:
    """The numbers of every row, as the task's `preprocess_logits_for_metrics` made them."""
    return np.asarray(evaluated.predictions, dtype=np.float64)
