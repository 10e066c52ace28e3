"""How long a step takes, by a clock that the test turns."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.recovery.pace import Pace

from tests.trainer import tiny
from tests.trainer.guards import unguarded

pytestmark = pytest.mark.training


class Clock(transformers.TrainerCallback):
    """A step takes a second, an evaluation and a save take an hour each."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """A step was made."""
        self.now += 1.0

    def on_evaluate(self, *_args: Any, **_kwargs: Any) -> None:
        """An evaluation was made, or a save."""
        self.now += 3600.0

    on_save = on_evaluate


def test_the_mean_follows_the_newest_steps_and_leaves_the_first_out() -> None:
    shown = iter([100.0, 102.0, 105.0])
    pace = Pace(lambda: next(shown))

    means = []
    for _ in range(3):
        pace.stepped()
        means.append(pace.seconds)

    assert means == [0.0, 2.0, pytest.approx(2.1)]


@pytest.mark.parametrize("rhythm", [{"eval_steps": 2, "save_steps": 3}, {"eval_strategy": "epoch"}])
def test_evaluations_and_saves_are_no_part_of_a_step(rhythm: dict[str, Any], tmp_path: Path) -> None:
    from finetune_trainer.work import arguments, work

    training = {"max_steps": 9, "eval_strategy": "steps", "save_strategy": "steps", "logging_steps": 2, **rhythm}
    config = tiny.config(
        tiny.bert(tmp_path / "model"),
        tiny.jsonl_file(tmp_path / "rows.jsonl"),
        data={"splits": {"evaluation": "train[:4]"}},
        training=training,
    )
    here = surroundings({"FINETUNE_WORK_DIR": str(tmp_path / "work")})
    trainer = work(config, here, *arguments(config, here)).trainer
    clock = Clock()
    trainer.pace = Pace(clock)
    trainer.add_callback(clock)
    trainer.guard = unguarded(here.staging)

    trainer.train()

    assert (trainer.seconds_per_step, clock.now > 3600.0) == (1.0, True)
