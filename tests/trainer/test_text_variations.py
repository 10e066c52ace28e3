"""Texts varied by chance: by seed, epoch and example alone, and never beyond what their names say."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.data.keyed import generator
from finetune_trainer.data.text_variations import VARIATIONS, WORD

from tests.trainer import further
from tests.trainer.preparing import ready, refusal

pytestmark = pytest.mark.training

TEXT = [
    "the",
    "Small",
    "dog",
    "sees",
    "a",
    "large",
    "red",
    "House",
    "and",
    "likes",
    "not",
    "blue",
    "trees",
    "near",
    "it",
]
EVERY = list(VARIATIONS)


def outcomes(name: str, words: list[str]) -> list[list[str]]:
    """What comes of a text in fifty epochs."""
    return [VARIATIONS[name](words, generator(7, epoch, 0)) for epoch in range(50)]


def letters(words: list[str]) -> list[str]:
    """The letters of each word, in no order."""
    return ["".join(sorted(word)) for word in words]


def is_part(words: list[str]) -> bool:
    """Whether words are left out and nothing else."""
    rest = iter(TEXT)
    return all(word in rest for word in words)


def is_without_two_neighbors(words: list[str]) -> bool:
    """Whether two words that stand together are left out."""
    return any(words == [*TEXT[:place], *TEXT[place + 2 :]] for place in range(len(TEXT) - 1))


LAWS: Mapping[str, Callable[[list[str]], bool]] = {
    "word-deletion": is_part,
    "word-swap": lambda words: sorted(words) == sorted(TEXT),
    "word-crop": is_without_two_neighbors,
    "word-case": lambda words: " ".join(words).lower() == " ".join(TEXT).lower(),
    "letter-swap": lambda words: letters(words) == letters(TEXT),
}


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_variation_does_no_more_than_its_name_says(name: str) -> None:
    assert [words for words in outcomes(name, TEXT) if not LAWS[name](words)] == []


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_text_varies_by_the_epoch_and_is_the_same_in_each(name: str) -> None:
    found = outcomes(name, TEXT)

    assert found == outcomes(name, TEXT)
    assert len({tuple(words) for words in found}) > 10


@pytest.mark.parametrize("name", VARIATIONS)
@pytest.mark.parametrize("words", [[], ["a"], ["dog", "x"]], ids=len)
def test_a_short_text_keeps_a_word(name: str, words: list[str]) -> None:
    assert {bool(found) for found in outcomes(name, words)} == {bool(words)}


@pytest.mark.parametrize("name", ["word-swap", "word-case", "letter-swap"])
def test_lines_stay_where_they_are(name: str) -> None:
    lines = WORD.findall("the dog sees\na cat\n\nand  likes the tree")

    found = outcomes(name, lines)

    assert {tuple(len(word) - len(word.rstrip()) for word in words) for words in found} == {(1, 1, 1, 1, 2, 2, 1, 1, 0)}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return further.blocks(tmp_path_factory.mktemp("pairs"), "amounts")


def test_training_varies_texts_by_the_epoch_and_an_evaluation_never(pairs: dict[str, Any], tmp_path: Path) -> None:
    plain = ready(tmp_path, pairs, training={"eval_strategy": "epoch"})
    made = ready(tmp_path, pairs, dataset={"augment": EVERY}, training={"eval_strategy": "epoch"})
    seen = []
    for epoch in (0, 1, 0):
        made.train_dataset.begin_epoch(epoch)
        seen.append([made.train_dataset[row] for row in range(8)])

    assert (seen[0] == seen[2], seen[0] == seen[1]) == (True, False)
    assert [row["labels"] for row in seen[0]] == pytest.approx(plain.train_dataset["labels"][:8])
    assert made.eval_dataset["input_ids"][:] == plain.eval_dataset["input_ids"][:]
    assert made.fingerprint == plain.fingerprint


def test_what_is_written_never_varies(tmp_path: Path) -> None:
    told = further.blocks(tmp_path, "translation") | {"task": "summarization"}
    plain = ready(tmp_path, told).train_dataset[0]

    found = ready(tmp_path, told, dataset={"augment": ["word-deletion", "word-crop"]}).train_dataset[0]

    assert (found["labels"] == plain["labels"], found["input_ids"] == plain["input_ids"]) == (True, False)


def test_a_question_without_text_has_nothing_to_vary(tmp_path: Path) -> None:
    told = further.blocks(tmp_path, "multiple-choice")
    columns = {"choices": further.ENDINGS, "label": "label"}

    problem = refusal(tmp_path, told, dataset={"columns": columns, "augment": EVERY})

    assert problem.message.startswith("dataset.augment varies dataset.columns.text, which names no column.")
