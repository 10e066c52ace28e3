"""The further tasks keep the promise: a disturbed run has the weights, losses and metrics of an undisturbed one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trainer import further
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result

pytestmark = pytest.mark.training

VARIED = {
    "image-classification": {"augment": ["horizontal-flip", "random-crop"]},
    "multiple-choice": {"augment": ["word-swap", "letter-swap"]},
    "summarization": {"augment": ["word-deletion", "word-case"]},
    "amounts": {"augment": ["word-deletion", "word-crop"]},
}
VARIED_TRAINING = {
    "multiple-choice": {"dataloader_persistent_workers": True},
    "image-classification": {
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
        "save_total_limit": 1,
    },
}
"""A best model of the attempt that is gone is loaded by the names that it has on the Hub."""


def disturbed(job: Job) -> Any:
    """The result after one stop and one kill, both in the middle of an epoch."""
    for step, how in ((4, "stop"), (9, "kill")):
        running = job.attempt()
        running.reach(step)
        getattr(running, how)()
        running.end()
        job.reported = running.progress
    return result(job.finish())


@pytest.mark.parametrize("task", further.TASKS)
def test_a_disturbed_job_ends_with_the_weights_and_metrics_of_an_undisturbed_one(
    task: str,
    job: Job,
    tmp_path: Path,
) -> None:
    blocks = further.blocks(tmp_path, task)
    blocks["dataset"] |= VARIED.get(task, {})
    training = {"max_steps": 13, "eval_steps": 6, **VARIED_TRAINING.get(task, {})}
    wanted = changed(dict(job.config), training=training, checkpoint={"everySteps": 4}, **blocks)
    plain = replace(job, config=wanted, folder=tmp_path / "plain")

    assert disturbed(replace(job, config=wanted)) == result(plain.finish())
