"""Text classification with several labels to a row, with amounts, and with labels that weigh more than others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_trainer.loss import BinaryCrossEntropy, CrossEntropy, SquaredError, TaskLoss
from finetune_trainer.measuring import metrics
from torch import nn

from tests.trainer import tiny
from tests.trainer.test_tasks import ready, refusal, written

pytestmark = pytest.mark.training

TASK = "text-classification"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {TASK: tiny.bert(tmp_path_factory.mktemp("models") / "bert")}


def test_lists_of_labels_are_learned_as_sets(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, *({"text": "a dog", "label": one} for one in (["b", "a"], [], ["c"])))

    made = ready(models, uri, tmp_path)

    assert (made.collator([*made.train_dataset])["labels"].tolist(), made.model.config.problem_type) == (
        [[1, 1, 0], [0, 0, 0], [0, 0, 1]],
        "multi_label_classification",
    )


def test_fractions_are_learned_as_amounts(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, {"text": "a", "label": 0.5}, {"text": "dog", "label": 2.0})

    made = ready(models, uri, tmp_path)

    assert (made.collator([*made.train_dataset])["labels"].tolist(), made.model.config.num_labels) == ([0.5, 2.0], 1)


def test_whole_numbers_are_amounts_where_the_job_says_so(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, {"text": "a", "label": 1}, {"text": "dog", "label": 5})

    made = ready(models, uri, tmp_path, model_fields={"config": {"problem_type": "regression"}})

    assert made.train_dataset["labels"][:] == [1.0, 5.0]


@pytest.mark.parametrize(
    ("values", "blocks", "sentence"),
    [
        (["a", "b"], {"model_fields": {"config": {"problem_type": "multi_label_classification"}}}, "no list"),
        ([["a"], ["a", "a"]], {}, "Row 2 of train names a label twice."),
        ([[0, 1, 0], [1]], {}, "Row 1 of train names a label twice."),
        ([0.5, None], {}, "Row 2 of train has no label in column label, which is learned as a number."),
        ([0, 1], {"data": {"labelWeights": {"LABEL_2": 2.0}}}, "dataset.labelWeights names LABEL_2; labels are"),
        ([0.5, 1.5], {"data": {"labelWeights": {"a": 2.0}}}, "dataset.labelWeights means nothing for regression."),
        ([0.5, 1.5], {"training": {"label_smoothing_factor": 0.1}}, "label_smoothing_factor means nothing for"),
        ([0, 1], {"model_fields": {"config": {"problem_type": "sorting"}}}, "problem_type sorting is none of"),
    ],
)
def test_labels_that_do_not_fit_are_said(
    values: list[Any], blocks: dict[str, Any], sentence: str, models: dict[str, str], tmp_path: Path
) -> None:
    uri = written(tmp_path, *({"text": "a dog", "label": value} for value in values))

    assert sentence in refusal(models, uri, tmp_path, **blocks).message


SCORES = torch.tensor([[0.2, -1.0, 0.5], [1.5, 0.3, -0.2], [0.0, 0.1, 0.9], [2.0, -0.5, 0.4]])
WEIGHTS = torch.tensor([0.1, 0.05, 0.3])
CLASSES, SETS_OF = torch.tensor([0, 2, 1, 0]), torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize(
    ("loss", "labels", "reference"),
    [
        (CrossEntropy(shifted=False, weights=WEIGHTS), CLASSES, nn.CrossEntropyLoss(weight=WEIGHTS)),
        (
            CrossEntropy(shifted=False, weights=WEIGHTS, smoothing=0.1),
            CLASSES,
            nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1),
        ),
        (BinaryCrossEntropy(weights=WEIGHTS), SETS_OF, nn.BCEWithLogitsLoss(pos_weight=WEIGHTS)),
    ],
    ids=["weighed", "weighed and smoothed", "sets"],
)
def test_a_mean_is_that_of_torch(loss: TaskLoss, labels: torch.Tensor, reference: nn.Module) -> None:
    wanted = labels.float() if labels.ndim == 2 else labels

    mean = loss.total({"logits": SCORES}, labels, training=True) / loss.items(labels)

    assert mean.item() == pytest.approx(reference(SCORES, wanted).item(), rel=1e-6)


def test_the_mean_of_amounts_is_that_of_torch() -> None:
    scores, labels = SCORES[:, :1], torch.tensor([0.5, 1.0, -2.0, 0.0])

    mean = SquaredError().total({"logits": scores}, labels, training=True) / SquaredError().items(labels)

    assert mean.item() == pytest.approx(nn.MSELoss()(scores[:, 0], labels).item())


def test_sets_are_measured_label_by_label_and_whole() -> None:
    right = np.array([[1, 0, 0], [1, 1, 0]], dtype=bool)
    said = np.array([[1, 0, 0], [0, 1, 1]], dtype=bool)

    assert (metrics.f1_micro(said, right), metrics.f1_macro(said, right), metrics.exact_sets(said, right)) == (
        pytest.approx((4 / 6, (2 / 3 + 1 + 0) / 3, 0.5))
    )


def test_amounts_are_measured_by_distance_and_correlation() -> None:
    right, said = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])

    assert (
        metrics.mean_squared_error(said, right),
        metrics.mean_absolute_error(said, right),
        metrics.pearson(said, right),
    ) == pytest.approx((14 / 3, 2.0, 1.0))
