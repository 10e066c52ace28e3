"""Metrics of labelled words: of whole entities where the labels say where one begins, else of the words."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune_trainer.loss import IGNORED
from finetune_trainer.measuring import metrics

Answers = tuple[npt.NDArray[np.int64], ...]
"""The numbers of the labels of each row's words."""
Measure = Callable[[Answers, Answers], float]
ENTITY = re.compile(r"O|[BIESLU]-.+")
"""A label in one of the schemes (IOB, IOBES, BILOU) that seqeval reads."""


def labelled(predicted: Any, labels: Any) -> tuple[Answers, Answers]:
    """What was said and what is right of the words that have a label, row by row."""
    right = np.asarray(labels, dtype=np.int64)
    there = right != IGNORED
    said = np.asarray(predicted).astype(np.int64)
    return tuple(a[t] for a, t in zip(said, there, strict=True)), tuple(r[t] for r, t in zip(right, there, strict=True))


def measures(names: tuple[str, ...]) -> Mapping[str, Measure]:
    """Precision, recall, F1 and accuracy for these labels."""
    if all(ENTITY.fullmatch(name) for name in names) and set(names) != {"O"}:
        found = {name: partial(_of_entities, f"{name}_score", names) for name in ("precision", "recall", "f1")}
        return {**found, "accuracy": _accuracy}
    return {"accuracy": _accuracy, "f1": partial(_f1_of_words, len(names))}


def _of_entities(function: str, names: tuple[str, ...], predicted: Answers, right: Answers) -> float:
    import seqeval.metrics

    said = [[names[number] for number in row] for row in predicted]
    true = [[names[number] for number in row] for row in right]
    measure: Callable[..., Any] = getattr(seqeval.metrics, function)
    return float(measure(true, said, zero_division=0))


def _accuracy(predicted: Answers, right: Answers) -> float:
    return metrics.accuracy(_flat(predicted), _flat(right))


def _f1_of_words(classes: int, predicted: Answers, right: Answers) -> float:
    return metrics.f1(_flat(predicted), _flat(right), classes)


def _flat(rows: Answers) -> npt.NDArray[np.int64]:
    return np.concatenate([np.empty(0, dtype=np.int64), *rows])
