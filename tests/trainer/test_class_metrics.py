"""Metrics of classes by their names, against counts made by hand."""

import numpy as np
import pytest
from finetune_trainer.measuring.class_metrics import of_classes

TOLD = np.array([0, 1, 2, 2, 1, 0], dtype=np.int64)
RIGHT = np.array([0, 1, 1, 2, 1, 2], dtype=np.int64)
# Class 0: 1 of 2 told, 1 of 1 there. Class 1: 2 of 2 told, 2 of 3 there. Class 2: 1 of 2 told, 1 of 2 there.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 4 / 6),
        ("f1_micro", 4 / 6),
        ("f1_macro", (2 / 3 + 4 / 5 + 1 / 2) / 3),
        ("f1_weighted", (2 / 3 + 3 * 4 / 5 + 2 * 1 / 2) / 6),
        ("precision", (1 / 2 + 1 + 1 / 2) / 3),
        ("recall", (1 + 2 / 3 + 1 / 2) / 3),
        ("balanced_accuracy", (1 + 2 / 3 + 1 / 2) / 3),
        ("matthews_correlation", 12 / (24 * 22) ** 0.5),
    ],
)
def test_a_metric_is_what_it_is_elsewhere(name: str, value: float) -> None:
    assert of_classes(3)[name](TOLD, RIGHT) == pytest.approx(value)


def test_of_two_classes_the_second_is_the_one_that_is_looked_for() -> None:
    told, right = np.array([1, 1, 0, 1]), np.array([1, 0, 0, 0])
    measures = of_classes(2)

    assert (measures["precision"](told, right), measures["recall"](told, right)) == (pytest.approx(1 / 3), 1.0)


def test_answers_that_are_always_the_same_correlate_with_nothing() -> None:
    assert of_classes(2)["matthews_correlation"](np.zeros(4, int), np.array([0, 1, 0, 1])) == 0.0
