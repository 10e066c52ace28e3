"""The promise: however often a job is taken away, its weights and its losses are those of an undisturbed run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.contract.outcome import ExitCode, OutcomeKind

from tests.trainer.resume_fixtures import changed, config, job, material, socket  # noqa: F401 - Fixtures.
from tests.trainer.running import Job, result

pytestmark = pytest.mark.training

VARIANTS = {
    "mid-epoch with accumulation, workers and evaluations": {},
    "evaluations and saves at epochs, best model loaded at the end": {
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
        "save_total_limit": 1,
    },
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def undisturbed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    config: dict[str, Any],  # noqa: F811 - The fixture.
    socket: Path,  # noqa: F811 - The fixture.
) -> tuple[dict[str, Any], Any]:
    """A configuration and what it comes to when nobody disturbs it."""
    wanted = changed(config, training=request.param)
    folder = tmp_path_factory.mktemp("undisturbed")
    return wanted, result(Job(folder=folder, config=wanted, socket=socket).finish())


@pytest.mark.parametrize(
    ("steps", "how"),
    [
        pytest.param((7,), "SIGTERM", id="asked to stop once"),
        pytest.param((4, 10, 20), "SIGTERM", id="asked to stop three times"),
        pytest.param((6, 13, 19), "SIGKILL", id="killed three times"),
        pytest.param((24,), "SIGTERM", id="asked to stop at the last step"),
    ],
)
def test_a_disturbed_job_ends_with_the_weights_and_losses_of_an_undisturbed_one(
    job: Job,  # noqa: F811 - The fixture.
    undisturbed: tuple[dict[str, Any], Any],
    steps: tuple[int, ...],
    how: str,
) -> None:
    wanted, expected = undisturbed
    assert result(replace(job, config=wanted).disturbed(steps, how)) == expected


def test_a_stopped_attempt_says_that_no_step_is_lost(job: Job) -> None:  # noqa: F811 - The fixture.
    running = job.attempt()
    running.reach(6)
    running.stop()
    word = running.outcome()
    assert (word.kind, word.progress.checkpoint.step, running.end()) == (
        OutcomeKind.PREEMPTED,
        word.progress.step,
        ExitCode.PREEMPTED,
    )


def test_a_stop_before_the_ranks_exist_is_remembered(job: Job) -> None:  # noqa: F811 - The fixture.
    running = job.attempt()
    while not (running.work / "ranks").exists():
        assert running.process.poll() is None
    running.stop()
    assert running.outcome().kind is OutcomeKind.PREEMPTED


def test_a_corrupt_newest_checkpoint_is_passed_over_and_named(job: Job) -> None:  # noqa: F811 - The fixture.
    running = job.attempt()
    running.reach(24)
    running.kill()
    newest, before, *_ = job.checkpoints()
    damaged = bytearray((newest / "optimizer.pt").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (newest / "optimizer.pt").write_bytes(damaged)
    resume = job.finish().outcome().progress.resume
    assert (resume.artifact, len(resume.passed_over)) == (f"file://{before}", 1)


def test_other_mathematics_are_refused(job: Job) -> None:  # noqa: F811 - The fixture.
    running = job.attempt()
    running.reach(12)
    running.stop()
    running.end()
    other = replace(job, config=changed(dict(job.config), training={"learning_rate": 5e-4}))
    assert other.attempt().outcome().reason == "CheckpointDoesNotFit"


def test_a_start_that_finds_finished_work_ends_at_once(job: Job) -> None:  # noqa: F811 - The fixture.
    job.finish()
    assert job.finish().outcome().reason == "AlreadyFinished"


def test_a_checkpoint_that_the_status_names_is_not_silently_given_up(job: Job) -> None:  # noqa: F811 - The fixture.
    running = job.attempt(FINETUNE_MIN_STEP="10")
    assert (running.outcome().reason, running.end()) == ("CheckpointNotFound", ExitCode.RETRY)


def test_a_loss_that_is_not_a_number_ends_the_job_with_the_step(job: Job) -> None:  # noqa: F811 - The fixture.
    broken = changed(dict(job.config), training={"learning_rate": 1e30, "max_grad_norm": 0})
    word = replace(job, config=broken).attempt().outcome()
    assert (word.kind, word.reason) == (OutcomeKind.FAILED, "LossNotFinite")
