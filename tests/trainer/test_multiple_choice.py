"""Multiple choice: the ways in which data sets write questions down, and rows of different numbers of answers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.tasks.choices import Choices, Question
from finetune_trainer.tasks.multiple_choice import Choosing

from tests.trainer import further, tiny
from tests.trainer.preparing import ready

pytestmark = pytest.mark.training

LISTED = Choices(text=("q",), answers=("a",), label="y")
EXAM = {"text": ["red", "blue", "green"], "label": ["1", "2", "3"]}
QUESTION = Question(prompt="which", answers=("red", "blue", "green"), right=1)


@pytest.mark.parametrize(
    ("answers", "label"),
    [
        (["red", "blue", "green"], 1),
        (["red", "blue", "green"], 1.0),
        (["red", "blue", "green"], "1"),
        (["red", "blue", "green"], "B"),
        (["red", "blue", "green"], "blue"),
        (EXAM, "2"),
        (EXAM, 1),
    ],
)
def test_a_question_is_the_same_however_it_is_written_down(answers: Any, label: Any) -> None:
    assert LISTED.question({"q": "which", "a": answers, "y": label}, 0, "train") == QUESTION


def test_endings_in_columns_of_their_own_begin_with_the_second_text() -> None:
    swag = Choices(text=("one", "two"), answers=("e0", "e1"), label="y")

    found = swag.question({"one": "The river.", "two": "It", "e0": "sees", "e1": "is", "y": 0}, 0, "train")

    assert found == Question(prompt="The river.", answers=("It sees", "It is"), right=0)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"q": "which", "a": ["red", "blue"], "y": 2}, "Row 5 of train has the label 2; it is the number of an answer"),
        ({"q": "which", "a": ["red", "blue"], "y": None}, "Row 5 of train has the label None;"),
        ({"q": "which", "a": ["red"], "y": 0}, "Row 5 of train has no list of two or more answers in a."),
        ({"q": "which", "a": ["red", None], "y": 0}, "Row 5 of train has an answer without text."),
        ({"q": None, "a": ["red", "blue"], "y": 0}, "Row 5 of train has no text in column q."),
    ],
)
def test_a_bad_row_is_said_with_its_number(row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        LISTED.question(row, 4, "train")

    assert raised.value.message.startswith(sentence)


def test_answers_that_fill_a_batch_count_for_nothing(tmp_path: Path) -> None:
    rows = (
        {"q": "the river", "a": ["red", "blue"], "y": 1},
        {"q": "a clock", "a": ["old", "small", "cold", "warm"], "y": 2},
    )
    blocks = further.blocks(tmp_path, "multiple-choice", dropout=False)
    columns = {"text": ["q"], "choices": ["a"], "label": "y"}
    made = ready(tmp_path, blocks, dataset={"uri": tiny.jsonl_file(tmp_path / "a.jsonl", rows), "columns": columns})
    loss, each = Choosing(), [made.train_dataset[0], made.train_dataset[1]]

    def total(examples: list[Any]) -> torch.Tensor:
        inputs = made.collator(examples)
        labels = inputs.pop("labels")
        return loss.total(made.model(**inputs), labels, training=False)

    assert total(each).item() == pytest.approx(total(each[:1]).item() + total(each[1:]).item(), rel=1e-5)


def test_smoothing_spreads_over_the_answers_that_there_are() -> None:
    logits, labels = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[1, 2]])
    wanted = torch.nn.functional.cross_entropy(logits[:, :2], labels[:, 0], label_smoothing=0.1)

    found = Choosing(smoothing=0.1).total({"logits": logits}, labels, training=True)

    assert found.item() == pytest.approx(wanted.item())
