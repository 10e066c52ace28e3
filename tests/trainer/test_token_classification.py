"""Token classification: which piece carries a word's label, what is measured, and that restarts leave no trace."""

from pathlib import Path

import numpy as np
import pytest
from finetune_trainer.measuring import entities
from finetune_trainer.tasks.token_classification import first_pieces

from tests.trainer import tiny
from tests.trainer.test_tasks import ready, refusal, written

pytestmark = pytest.mark.training

TASK = "token-classification"
NAMES = ("O", "B-ANIMAL", "I-ANIMAL")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {TASK: tiny.bert(folder / "bert")}


def test_the_first_piece_of_a_word_carries_its_label() -> None:
    assert [*first_pieces([None, 0, 0, 1, 2, 2, 2, None], [7, 8, 9])] == [-100, 7, -100, 8, 9, -100, -100, -100]


def test_labels_are_padded_with_what_is_not_predicted(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, {"tokens": ["the", "dog"], "tags": ["O", "A"]}, {"tokens": ["cat"], "tags": ["A"]})

    made = ready(models, uri, tmp_path, TASK)

    assert made.collator([*made.train_dataset])["labels"].tolist() == [[-100, 1, 0, -100], [-100, 0, -100, -100]]


def test_entities_are_measured_whole() -> None:
    # Of two entities one is found whole, the other one word short.
    right = (np.array([1, 2, 0, 1, 2]),)
    said = (np.array([1, 2, 0, 1, 0]),)

    found = {name: measure(said, right) for name, measure in entities.measures(NAMES).items()}

    assert found == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "accuracy": 0.8}


def test_labels_that_are_no_entities_are_measured_word_by_word() -> None:
    assert [*entities.measures(("NOUN", "VERB"))] == ["accuracy", "f1"]


def test_a_row_with_more_words_than_labels_is_said(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, {"tokens": ["a"], "tags": ["O"]}, {"tokens": ["the", "dog"], "tags": ["O"]})

    assert (
        "Row 2 of train has 2 words in column tokens and 1 labels in column tags."
        in refusal(models, uri, tmp_path, TASK).message
    )


def test_a_label_outside_the_range_is_said_with_its_row(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, {"tokens": ["a"], "tags": ["O"]}, {"tokens": ["dog"], "tags": ["B-PER"]})

    problem = refusal(models, uri, tmp_path, TASK, data={"labels": ["O", "B-LOC"]})

    assert problem.message.startswith("Row 2 of train has the label 'B-PER'; labels are one of O, B-LOC.")
