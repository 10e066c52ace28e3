"""What an evaluation measures, from a few numbers of each row: logits never leave the batch they belong to."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune_trainer.errors import ConfigurationError

Labels = npt.NDArray[np.int64]
Sets = npt.NDArray[np.bool_]
"""Which labels a row has: one column for each label."""
Numbers = npt.NDArray[np.float64]


def accuracy(predicted: Labels, labels: Labels) -> float:
    """The share of right answers."""
    return float((predicted == labels).mean()) if labels.size else 0.0


def f1(predicted: Labels, labels: Labels, classes: int) -> float:
    """The F1 of class 1 of two, else the mean of every class's (macro); 0 for a class that never occurs."""
    counts = confusion(predicted, labels, classes)
    right = np.diag(counts)
    both = counts.sum(0) + counts.sum(1)
    each = np.divide(2 * right, both, out=np.zeros(classes), where=both > 0)
    return float(each[1]) if classes == 2 else float(each.mean())


def exact_sets(predicted: Sets, labels: Sets) -> float:
    """The share of rows of which every label is right."""
    return float((predicted == labels).all(1).mean()) if len(labels) else 0.0


def f1_micro(predicted: Sets, labels: Sets) -> float:
    """The F1 over the labels of all rows together; 0 when none occurs."""
    both = int(predicted.sum() + labels.sum())
    return float(2 * (predicted & labels).sum() / both) if both else 0.0


def f1_macro(predicted: Sets, labels: Sets) -> float:
    """The mean of each label's F1; 0 for a label that never occurs."""
    right, both = 2 * (predicted & labels).sum(0), predicted.sum(0) + labels.sum(0)
    return float(np.divide(right, both, out=np.zeros(len(both)), where=both > 0).mean())


def mean_squared_error(predicted: Numbers, labels: Numbers) -> float:
    """The mean of the squared distances."""
    return float(np.square(predicted - labels).mean()) if labels.size else 0.0


def mean_absolute_error(predicted: Numbers, labels: Numbers) -> float:
    """The mean distance."""
    return float(np.abs(predicted - labels).mean()) if labels.size else 0.0


def pearson(predicted: Numbers, labels: Numbers) -> float:
    """The linear correlation, from -1 to 1; 0 where one of the two never changes."""
    if labels.size == 0:
        return 0.0
    one, other = predicted - predicted.mean(), labels - labels.mean()
    scale = math.sqrt(float(np.square(one).sum()) * float(np.square(other).sum()))
    return float((one * other).sum() / scale) if scale else 0.0


def confusion(predicted: Labels, labels: Labels, classes: int) -> npt.NDArray[np.int64]:
    """How often each class (row) was taken for each (column)."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


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
