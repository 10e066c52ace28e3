"""What is measured beside the loss: exact over restarts, and without a trace in the training."""

# ruff: noqa: F811 - Fixtures are imported by the names that tests ask for them.

from dataclasses import replace
from typing import Any

import pytest
from finetune_trainer.config import plan

from tests.trainer import tiny
from tests.trainer.resume_fixtures import changed, config, job, material, socket  # noqa: F401
from tests.trainer.running import Job, Running, result

pytestmark = pytest.mark.training


def taken_away(job: Job, stopped_at: int, killed_at: int) -> Running:
    """The end of a job that was asked to stop at one step and killed at another."""
    running = job.attempt()
    assert running.reach(stopped_at), running.log()
    running.stop()
    running.end()
    job.reported = running.progress
    return job.disturbed((killed_at,), "SIGKILL")


def test_early_stopping_is_the_same_however_often_the_job_is_taken_away(job: Job) -> None:
    patience = {"earlyStopping": {"patience": 3, "threshold": 9.0}}
    wanted = changed(dict(job.config), training={"max_steps": 60}, evaluation=patience)
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    again = taken_away(replace(job, config=wanted, folder=job.folder / "again"), 5, 11)

    assert (result(again), plain.progress and plain.progress.step) == (result(plain), 16)


@pytest.mark.parametrize(
    ("evaluation", "training", "best"),
    [
        ({"earlyStopping": {}}, {}, ("loss", False)),
        ({}, {"metric_for_best_model": "perplexity"}, ("perplexity", False)),
        ({}, {"metric_for_best_model": "f1"}, ("f1", None)),
        ({}, {"metric_for_best_model": "eval_mse", "greater_is_better": True}, ("eval_mse", True)),
    ],
)
def test_a_better_model_is_told_by_the_right_end_of_its_metric(
    evaluation: dict[str, Any], training: dict[str, Any], best: tuple[str, bool | None]
) -> None:
    said = plan(tiny.config(evaluation=evaluation, training=training), 1).arguments

    assert (said["metric_for_best_model"], said.get("greater_is_better", best[1])) == best
