"""Metrics of answers that are one of several classes, by the names that they have elsewhere."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from finetune_trainer.measuring import metrics
from finetune_trainer.measuring.metrics import Labels

Counts = npt.NDArray[np.int64]
USUAL = ("accuracy", "f1")
"""Where the job names none."""


def of_classes(classes: int) -> Mapping[str, Callable[[Labels, Labels], float]]:
    """Every metric by its name, for so many classes."""

    def counted(measure: Callable[[Counts], float]) -> Callable[[Labels, Labels], float]:
        return lambda predicted, labels: measure(metrics.confusion(predicted, labels, classes))

    def f1(predicted: Labels, labels: Labels) -> float:
        return metrics.f1(predicted, labels, classes)

    return {
        "accuracy": metrics.accuracy,
        "f1": f1,
        "f1_macro": counted(lambda counts: float(f1s(counts).mean())),
        "f1_micro": metrics.accuracy,
        "f1_weighted": counted(lambda counts: float((f1s(counts) * counts.sum(1)).sum() / max(counts.sum(), 1))),
        "precision": counted(lambda counts: _one(precisions(counts))),
        "recall": counted(lambda counts: _one(recalls(counts))),
        "balanced_accuracy": counted(lambda counts: float(recalls(counts)[counts.sum(1) > 0].mean())),
        "matthews_correlation": counted(matthews_correlation),
    }


def _one(each: npt.NDArray[np.float64]) -> float:
    """Of two classes that of class 1, else the mean."""
    return float(each[1]) if len(each) == 2 else float(each.mean())


def precisions(counts: Counts) -> npt.NDArray[np.float64]:
    """Of what was taken for a class, the share that was of it; 0 where nothing was."""
    return _share(np.diag(counts), counts.sum(0))


def recalls(counts: Counts) -> npt.NDArray[np.float64]:
    """Of what is of a class, the share that was taken for it; 0 where nothing is."""
    return _share(np.diag(counts), counts.sum(1))


def f1s(counts: Counts) -> npt.NDArray[np.float64]:
    """The F1 of each class; 0 for one that never occurs."""
    return _share(2 * np.diag(counts), counts.sum(0) + counts.sum(1))


def _share(part: Counts, whole: Counts) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def matthews_correlation(counts: Counts) -> float:
    """The correlation of answers and labels; 0 when either is always the same."""
    right, total = float(np.trace(counts)), float(counts.sum())
    told, there = counts.sum(0).astype(float), counts.sum(1).astype(float)
    spread = (total**2 - float(told @ told)) * (total**2 - float(there @ there))
    return (right * total - float(told @ there)) / math.sqrt(spread) if spread > 0 else 0.0
