"""Question answering: where an answer stands in the pieces of a text, what is measured, and exact restarts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from finetune_trainer.measuring import spans

from tests.trainer import tiny
from tests.trainer.test_tasks import ready, refusal, written

pytestmark = pytest.mark.training

TASK = "question-answering"


def asked(question: str, context: str, *answers: str) -> dict[str, Any]:
    """A row as SQuAD writes it."""
    starts = [context.index(one) for one in answers]
    return {"question": question, "context": context, "answers": {"text": [*answers], "answer_start": starts}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {TASK: tiny.bert(folder / "bert")}


SHORT = {"tokenizer": {"maxLength": 10, "stride": 2}}
"""Two words of a question and five of the text: [CLS] the dog [SEP] ... [SEP]."""
LONG_TEXT = asked("the dog", "a small large cat sees the red house and not a tree", "red house")


def test_a_long_text_is_read_in_pieces_that_overlap(models: dict[str, str], tmp_path: Path) -> None:
    made = ready(models, written(tmp_path, LONG_TEXT), tmp_path, TASK, **SHORT)

    pieces = [made.processing_class.decode(ids[4:-1]) for ids in made.train_dataset["input_ids"]]

    assert pieces == ["a small large cat sees", "cat sees the red house", "red house [UNK] not a", "not a tree"]


def test_the_answer_is_labelled_in_the_pieces_that_hold_all_of_it(models: dict[str, str], tmp_path: Path) -> None:
    made = ready(models, written(tmp_path, LONG_TEXT), tmp_path, TASK, **SHORT)

    labels = [(one[spans.START], one[spans.END], one[spans.PIECE]) for one in made.train_dataset["labels"]]

    assert labels == [(0, 0, 0), (7, 8, 1), (4, 5, 2), (0, 0, 3)]


def test_the_best_span_of_all_pieces_is_the_answer(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, LONG_TEXT, asked("the cat", "a dog sees the cat", "dog"))
    splits = {"evaluation": "train"}
    made = ready(models, uri, tmp_path, TASK, **SHORT, data={"splits": splits}, training={"eval_strategy": "epoch"})
    labels = torch.tensor(made.eval_dataset["labels"])
    logits = torch.zeros(2, len(labels), 10)
    for row, start, end, score in ((1, 7, 8, 5.0), (2, 6, 6, 3.0), (4, 5, 5, 1.0), (4, 1, 1, 9.0)):
        logits[0, row, start] = logits[1, row, end] = score

    numbers = made.preprocess_logits_for_metrics((logits[0], logits[1]), labels)
    evaluated = SimpleNamespace(predictions=numbers.numpy(), label_ids=labels.numpy())
    given, right = made.answers.of(evaluated)

    assert (given.tolist(), right.tolist(), made.compute_metrics(evaluated)["exact_match"]) == (
        ["red house", "dog"],
        [("red house",), ("dog",)],
        1.0,
    )


def test_each_split_is_read_with_its_own_answers(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, asked("the cat", "a dog sees the cat", "dog"), asked("the cat", "a red cat", "red"))
    splits = {"evaluation": "train[:1]", "test": "train[1:]", "further": [{"name": "both", "split": "train"}]}
    made = ready(models, uri, tmp_path, TASK, data={"splits": splits}, training={"eval_strategy": "epoch"})

    right = []
    for pieces in (made.eval_dataset, made.test_dataset, made.further["both"]):
        labels = torch.tensor(pieces["labels"])
        numbers = made.preprocess_logits_for_metrics(
            (torch.zeros(len(labels), 12), torch.zeros(len(labels), 12)), labels
        )
        told = made.answers.of(SimpleNamespace(predictions=numbers.numpy(), label_ids=labels.numpy()))
        right.append(told[1].tolist())

    assert right == [[("dog",)], [("red",)], [("dog",), ("red",)]]


def test_a_table_shows_the_answer_of_a_piece_and_the_models(models: dict[str, str], tmp_path: Path) -> None:
    made = ready(models, written(tmp_path, asked("the cat", "a dog sees the cat", "dog")), tmp_path, TASK)
    batch = made.collator([made.train_dataset[0]])
    scores = torch.arange(float(batch["input_ids"].shape[1]))[None]
    outputs = {"start_logits": scores, "end_logits": scores}
    trainer = SimpleNamespace(model=None, processing_class=made.processing_class, task_outputs=lambda *_: outputs)

    assert made.shown(trainer, batch)[1] == [("the cat a dog sees the cat", "dog", "cat")]


def test_no_answer_is_one_where_a_text_may_have_none(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, asked("the cat", "a dog sees the cat"), asked("the cat", "a dog sees the cat", "dog"))
    made = ready(
        models, uri, tmp_path, TASK, data={"splits": {"evaluation": "train"}}, training={"eval_strategy": "epoch"}
    )
    labels = torch.tensor(made.eval_dataset["labels"])
    logits = torch.zeros(2, len(labels), int(labels[0, spans.LENGTH]))
    logits[:, 0, 0] = 1.0
    logits[:, 1, 5] = 1.0

    numbers = made.preprocess_logits_for_metrics((logits[0], logits[1]), labels)
    found = made.compute_metrics(SimpleNamespace(predictions=numbers.numpy(), label_ids=labels.numpy()))

    assert found["exact_match"] == 1.0


def test_the_loss_of_a_piece_does_not_depend_on_padding() -> None:
    labels = torch.tensor([[2, 3, 5, 2, 3, 0, 0]])
    scores = torch.arange(5.0)[None]
    padded = torch.nn.functional.pad(scores, (0, 3), value=7.0)
    loss = spans.SpanLoss()

    assert loss.of_rows(padded, padded, labels)[0].tolist() == pytest.approx(
        loss.of_rows(scores, scores, labels)[0].tolist()
    )


def test_an_answer_is_measured_but_for_case_articles_and_punctuation() -> None:
    given, right = ["The  Dog!", "a red house", ""], [("dog",), ("blue house", "tree"), ()]

    assert (spans.exact_match(given, right), spans.f1(given, right)) == pytest.approx((2 / 3, (1 + 0.5 + 1) / 3))


def test_an_answer_is_no_longer_than_thirty_tokens() -> None:
    labels = torch.tensor([[0, 0, 50, 0, 49, 0, 0]])
    starts, ends = torch.zeros(1, 50), torch.zeros(1, 50)
    starts[0, 0] = ends[0, 49] = 9.0

    _, first, last, _ = spans.best(starts, ends, labels)[0].tolist()

    assert last - first < spans.LONGEST_ANSWER


@pytest.mark.parametrize(
    ("row", "blocks", "sentence"),
    [
        (
            {"answers": {"text": ["cat"], "answer_start": [0]}},
            {},
            "Row 2 of train: the answer 'cat' does not stand at character 0 of its context.",
        ),
        ({"answers": {"text": ["dog"], "answer_start": []}}, {}, "Row 2 of train has no answers in column answers."),
        ({"question": " "}, {}, "Row 2 of train has an empty question."),
        (
            {"question": "the dog sees a cat"},
            SHORT,
            "The question in row 2 of train has 5 tokens and leaves 2 of 10 for the text, of which 2 overlap.",
        ),
    ],
)
def test_a_row_that_cannot_be_learned_is_said(
    row: dict[str, Any], blocks: dict[str, Any], sentence: str, models: dict[str, str], tmp_path: Path
) -> None:
    good = asked("the cat", "a dog sees the cat", "dog")

    assert sentence in refusal(models, written(tmp_path, good, {**good, **row}), tmp_path, TASK, **blocks).message
