"""Masks: which words are taken out follows from the seed, the epoch and the example, and from nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_trainer.data.keyed import Fixed, Keyed, generator
from finetune_trainer.loss import IGNORED
from finetune_trainer.tasks.fill_mask import SPECIAL, Masks

from tests.trainer import further, tiny
from tests.trainer.preparing import ready, refusal

pytestmark = pytest.mark.training

MASKS = Masks(mask=103, words=1000, share=0.15)
TABLE = [{"input_ids": [101, *range(200, 240 + row), 102], SPECIAL: [1, *[0] * (40 + row), 1]} for row in range(12)]


def drawn(examples: Keyed, epoch: int, **loader: Any) -> list[Any]:
    """All examples of an epoch as a DataLoader gives them."""
    examples.begin_epoch(epoch)
    return [*torch.utils.data.DataLoader(examples, batch_size=4, collate_fn=list, **loader)]


def test_an_example_has_the_same_masks_whenever_it_is_drawn_in_an_epoch() -> None:
    examples = Keyed(TABLE, MASKS, seed=7)
    examples.begin_epoch(1)

    assert [examples[5], examples[0], examples[5]] == [examples[5], examples.__getitems__([0])[0], examples[5]]


def test_other_epochs_examples_and_seeds_have_other_masks() -> None:
    draws = {
        (seed, epoch, number): generator(seed, epoch, number).random(4).tobytes()
        for seed in (0, 1)
        for epoch in (0, 1)
        for number in (0, 1)
    }

    assert len(set(draws.values())) == 8


def test_workers_that_live_on_see_the_next_epoch() -> None:
    examples, again = Keyed(TABLE, MASKS, seed=7), Keyed(TABLE, MASKS, seed=7)
    loader = torch.utils.data.DataLoader(
        examples, batch_size=4, collate_fn=list, num_workers=1, persistent_workers=True, multiprocessing_context="fork"
    )
    seen = []
    for epoch in (0, 1):
        examples.begin_epoch(epoch)
        seen.append([*loader])

    assert seen == [drawn(again, 0), drawn(again, 1)]


def test_an_evaluation_has_the_same_masks_in_every_epoch_and_job() -> None:
    assert drawn(Fixed(TABLE, MASKS), 0) == drawn(Fixed(TABLE, MASKS), 3)


def test_only_words_are_taken_out_and_about_as_many_as_wanted() -> None:
    made = [MASKS(TABLE[11], generator(0, epoch, 0)) for epoch in range(200)]
    labels = np.array([one["labels"] for one in made])

    assert (labels[:, 0].max(), labels[:, -1].max()) == (IGNORED, IGNORED)
    assert (labels != IGNORED).mean() == pytest.approx(0.15, abs=0.02)


def test_most_of_the_words_are_seen_as_the_mask_and_the_rest_as_they_are() -> None:
    made = [MASKS(TABLE[11], generator(0, epoch, 0)) for epoch in range(200)]
    ids, labels = (np.array([one[name] for one in made]) for name in ("input_ids", "labels"))
    predicted = labels != IGNORED

    assert (ids[predicted] == 103).mean() == pytest.approx(0.8, abs=0.04)
    assert (ids[~predicted] == np.array([TABLE[11]["input_ids"]] * 200)[~predicted]).all()


def test_a_short_text_has_a_word_taken_out_too() -> None:
    short = {"input_ids": [101, 200, 102], SPECIAL: [1, 0, 1]}

    assert {tuple(MASKS(short, generator(0, epoch, 0))["labels"]) for epoch in range(20)} == {(IGNORED, 200, IGNORED)}


def test_a_model_without_mask_token_is_refused(tmp_path: Path) -> None:
    places = {"model": {"uri": tiny.gpt2(tmp_path / "gpt2")}, "dataset": {"uri": tiny.jsonl_file(tmp_path / "a.jsonl")}}

    assert "has no mask token" in refusal(tmp_path, {"task": "fill-mask", **places}).message


def test_texts_without_words_are_left_out(tmp_path: Path) -> None:
    uri = tiny.jsonl_file(tmp_path / "rows.jsonl", ({"text": "the river"}, {"text": ""}, {"text": "a clock"}))

    made = ready(tmp_path, further.blocks(tmp_path, "fill-mask"), dataset={"uri": uri})

    assert len(made.train_dataset) == 2
