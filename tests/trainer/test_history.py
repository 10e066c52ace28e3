"""Rows have numbers and survive in checkpoints as they were."""

import math
from pathlib import Path

from finetune_trainer.tracking.history import History, history, row


def test_columns_are_those_of_transformers_own_callback() -> None:
    assert row({"loss": 1.0, "eval_loss": 2.0, "eval_runtime": 3.0, "train_runtime": 4.0}, 7) == {
        "train/loss": 1.0,
        "eval/loss": 2.0,
        "eval/eval_runtime": 3.0,
        "train/train_runtime": 4.0,
        "train/global_step": 7,
    }


def test_rows_come_back_from_a_checkpoint_as_they_were(tmp_path: Path) -> None:
    rows = (row({"loss": 0.1 + 0.2, "eval_perplexity": math.inf}, 1), row({"loss": 1e-300}, 2))
    History(rows).write(tmp_path)

    assert history(tmp_path).rows == [*rows]


def test_a_row_is_numbered_after_those_of_the_checkpoint(tmp_path: Path) -> None:
    History((row({"loss": 1.0}, 1),)).write(tmp_path)

    assert history(tmp_path).add(row({"loss": 2.0}, 2)) == 1


def test_a_checkpoint_of_an_older_trainer_has_no_rows(tmp_path: Path) -> None:
    assert history(tmp_path).rows == []
