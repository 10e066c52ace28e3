"""Metrics from a few numbers of each row."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.measuring import metrics


def counted(*values: int) -> metrics.Labels:
    return np.array(values, dtype=np.int64)


def test_accuracy_is_the_share_of_right_answers() -> None:
    assert metrics.accuracy(counted(1, 0, 1, 1), counted(1, 0, 0, 1)) == 0.75


def test_f1_of_two_classes_is_that_of_class_one() -> None:
    # Two true positives, one false positive, one false negative.
    assert metrics.f1(counted(1, 1, 1, 0, 0), counted(1, 1, 0, 1, 0), 2) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_f1_of_more_classes_is_the_mean_of_each() -> None:
    # Class 0: F1 1; class 1: one of two found, F1 2/3; class 2: one right, one wrong, F1 2/3.
    assert metrics.f1(counted(0, 1, 2, 2), counted(0, 1, 1, 2), 3) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def test_f1_of_a_class_that_never_occurs_is_zero() -> None:
    assert metrics.f1(counted(0, 0), counted(0, 0), 2) == 0.0


def test_perplexity_is_the_exponential_of_the_loss() -> None:
    assert (metrics.perplexity(math.log(7)), metrics.perplexity(1e6)) == (pytest.approx(7), math.inf)


def test_the_mean_loss_weighs_tokens_not_rows() -> None:
    assert metrics.mean_loss(np.array([[4.0, 1.0], [2.0, 5.0]])) == 1.0


def test_an_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"rouge is not a metric of this task\. It has: accuracy"):
        metrics.chosen(("rouge",), {"accuracy": metrics.accuracy}, loss_only=False)


def test_rows_are_numbers_of_double_precision() -> None:
    assert metrics.rows_of(SimpleNamespace(predictions=np.ones((2, 3), dtype=np.float32))).dtype == np.float64
