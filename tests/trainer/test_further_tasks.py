"""The further tasks keep the promise: a killed run has the weights, losses and metrics of an undisturbed one.

That one which is asked to stop has them too is shown by `tests/integration/test_examples.py`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trainer import further
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result
from tests.trainer.test_gang import STRATEGIES

pytestmark = pytest.mark.training

VARIED: dict[str, dict[str, Any]] = {
    "image-classification": {"augment": ["horizontal-flip", "random-crop"]},
    "multiple-choice": {"augment": ["word-swap", "letter-swap"]},
    "summarization": {"augment": ["word-deletion", "word-case"]},
    "amounts": {"augment": ["word-deletion", "word-crop"]},
}
VARIED_TRAINING: dict[str, dict[str, Any]] = {
    "multiple-choice": {"dataloader_num_workers": 2, "dataloader_persistent_workers": True},
    "image-classification": {
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
        "save_total_limit": 1,
    },
}
"""A best model of the attempt that is gone is loaded by the names that it has on the Hub."""


def trained(job: Job, tmp_path: Path, task: str, training: dict[str, Any], **more: Any) -> Job:
    """The job with another task."""
    blocks = further.blocks(tmp_path, task)
    blocks["dataset"] |= VARIED.get(task, {})
    training |= VARIED_TRAINING.get(task, {})
    return replace(job, config=changed(dict(job.config), training=training, **blocks, **more))


@pytest.mark.parametrize("task", [*further.TASKS, "translation"])
def test_a_job_killed_amid_an_epoch_ends_with_the_weights_and_metrics_of_an_undisturbed_one(
    task: str,
    job: Job,
    tmp_path: Path,
) -> None:
    one = trained(job, tmp_path, task, {"max_steps": 13, "eval_steps": 6}, checkpoint={"everySteps": 4})
    plain = replace(one, folder=tmp_path / "plain").finish()

    assert result(one.disturbed((9,), "SIGKILL")) == result(plain)


@pytest.mark.parametrize(
    ("task", "strategy"),
    [
        ("several labels", "ddp x 2"),
        ("amounts", "ddp x 2"),
        ("token-classification", "ddp x 2"),
        ("summarization", "ddp x 2"),
        ("image-classification", "ddp x 2"),
        ("translation", "zero-2 x 2"),
    ],
)
def test_two_ranks_killed_amid_an_epoch_end_with_the_weights_and_metrics_of_undisturbed_ones(
    task: str,
    strategy: str,
    job: Job,
    tmp_path: Path,
) -> None:
    small = {"max_steps": 7, "eval_steps": 3, "dataloader_num_workers": 0}
    more = {**STRATEGIES[strategy], "compute": {"processesPerNode": 2}, "checkpoint": {"everySteps": 2}}
    one = trained(job, tmp_path, task, small, **more)
    plain = replace(one, folder=tmp_path / "plain").finish()

    assert result(one.disturbed((5,), "SIGKILL")) == result(plain)
    assert plain.progress is not None
    assert plain.progress.strategy == strategy
