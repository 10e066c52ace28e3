"""The promise: however often a job is taken away, its weights and its losses are those of an undisturbed run."""

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.contract.outcome import ExitCode, OutcomeKind, TrainerState

from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, Running, result

pytestmark = pytest.mark.training

STEPS = {"dataloader_num_workers": 2}
EPOCHS = {
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "load_best_model_at_end": True,
    "save_total_limit": 1,
}
"""The best model is loaded at the end, from a save of an attempt that is gone."""
CASES = [
    pytest.param(STEPS, (4, 10, 20), "SIGTERM", id="steps, asked to stop three times"),
    pytest.param(STEPS, (8, 18), "SIGKILL", id="steps, killed twice"),
    pytest.param(STEPS, (24,), "SIGTERM", id="steps, asked to stop at the last one"),
    pytest.param(EPOCHS, (7, 20), "SIGTERM", id="epochs and best model, asked to stop twice"),
    pytest.param(EPOCHS, (13,), "SIGKILL", id="epochs and best model, killed"),
]


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    config: dict[str, Any],
    socket: Path,
) -> Callable[[dict[str, Any]], Any]:
    """What a configuration comes to when nobody disturbs it; each is run once."""
    known: dict[str, Any] = {}

    def outcome(training: dict[str, Any]) -> Any:
        name = "-".join(training) or "plain"
        if name not in known:
            wanted = changed(config, training=training)
            folder = tmp_path_factory.mktemp("undisturbed")
            known[name] = result(Job(folder=folder, config=wanted, socket=socket).finish())
        return known[name]

    return outcome


@pytest.mark.parametrize(("training", "steps", "how"), CASES)
def test_a_disturbed_job_ends_with_the_weights_and_losses_of_an_undisturbed_one(
    job: Job,
    undisturbed: Callable[[dict[str, Any]], Any],
    training: dict[str, Any],
    steps: tuple[int, ...],
    how: str,
) -> None:
    wanted = changed(dict(job.config), training=training)

    assert result(replace(job, config=wanted).disturbed(steps, how)) == undisturbed(training)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], socket: Path) -> Job:
    """A job without a word of saves that was asked to stop after its sixth step; then its model's weights are lost."""
    said = {name: value for name, value in config["training"].items() if not name.startswith("save_")}
    folder = tmp_path_factory.mktemp("stopped")
    model = shutil.copytree(str(config["model"]["uri"]).removeprefix("file://"), folder / "model")
    wanted = {**config, "training": said, "model": {"uri": f"file://{model}"}}
    job = Job(folder=folder, config=wanted, socket=socket)
    running = job.attempt()
    running.reach(6)
    running.stop()
    running.end()
    (model / "model.safetensors").unlink()
    return job


@pytest.fixture(scope="module")
def resumed(stopped: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The same job at its end."""
    job = copied(stopped, tmp_path_factory.mktemp("resumed"))
    job.finish()
    return job


def copied(job: Job, folder: Path) -> Job:
    """The job at the same place of its life, with a volume of its own."""
    shutil.copytree(job.folder / "volume", folder / "volume")
    return replace(job, folder=folder)


def test_a_stopped_attempt_says_that_no_step_is_lost(stopped: Job) -> None:
    assert stopped.last is not None
    word = stopped.last.outcome()
    assert (word.kind, word.progress.checkpoint.step, stopped.last.end()) == (
        OutcomeKind.PREEMPTED,
        word.progress.step,
        ExitCode.PREEMPTED,
    )


def test_what_nobody_reads_any_more_takes_no_space_of_the_pod(resumed: Job) -> None:
    assert resumed.last is not None
    work, resume = resumed.last.work, resumed.last.outcome().progress.resume

    assert (resume.from_step >= 6, [*(work / "output").glob("checkpoint-*")]) == (True, [])
    assert not (work / "checkpoints" / "restored").exists()


def test_what_a_checkpoint_has_is_not_read_from_the_models_own_place(
    resumed: Job, undisturbed: Callable[[dict[str, Any]], Any]
) -> None:
    assert resumed.last is not None
    assert result(resumed.last) == undisturbed(STEPS)


def test_other_mathematics_are_refused(stopped: Job, tmp_path: Path) -> None:
    other = copied(stopped, tmp_path)
    other.config = changed(dict(other.config), training={"learning_rate": 5e-4})
    assert other.attempt().outcome().reason == "CheckpointDoesNotFit"


def test_a_start_that_finds_finished_work_ends_at_once(resumed: Job, tmp_path: Path) -> None:
    assert copied(resumed, tmp_path).finish().outcome().reason == "AlreadyFinished"


def test_a_grace_period_that_has_no_room_for_a_step_is_said_with_the_step(job: Job) -> None:
    short = changed(dict(job.config), gracePeriodSeconds=5, training={"max_steps": 6})
    progress = replace(job, config=short).finish().outcome().progress

    assert (progress.grace_too_short or "").startswith("A step, saving and publishing take about")


def test_a_stop_before_the_ranks_exist_is_remembered(job: Job) -> None:
    running = job.attempt()
    while not (running.work / "ranks").exists():
        assert running.process.poll() is None
    running.stop()
    assert running.outcome().kind is OutcomeKind.PREEMPTED


def test_a_loss_that_is_not_a_number_ends_the_job_with_the_step_and_its_examples(job: Job) -> None:
    broken = changed(dict(job.config), training={"learning_rate": 1e30, "max_grad_norm": 0})
    word = replace(job, config=broken).attempt().outcome()
    assert (word.kind, word.reason) == (OutcomeKind.CONFIGURATION, "LossNotFinite")
    assert re.search(r"loss of step \d+ .* held the training examples \d+, \d+, \d+, \d+ \(", word.message)


@pytest.mark.parametrize(("extra", "step"), [({}, 3), ({"eval_on_start": True}, 0)], ids=["of a step", "at the start"])
def test_a_stop_in_the_middle_of_an_evaluation_is_heard_there_and_loses_nothing(
    job: Job, tmp_path: Path, extra: dict[str, Any], step: int
) -> None:
    data = Path(str(job.config["dataset"]["uri"]).removeprefix("file://"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text((data / "train.jsonl").read_text())
    (tmp_path / "data" / "validation.jsonl").write_text((data / "validation.jsonl").read_text() * 25)
    dataset = {**job.config["dataset"], "uri": f"file://{tmp_path / 'data'}"}
    training = {"max_steps": 6, "eval_steps": 3, "per_device_eval_batch_size": 1, **extra}
    wanted = changed(dict(job.config), dataset=dataset, training=training)
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    one = replace(job, config=wanted, folder=job.folder / "again")
    running = one.attempt()
    while not (running.progress and running.progress.state is TrainerState.EVALUATING):
        assert running.process.poll() is None, running.log()
        time.sleep(0.005)
    running.stop()
    word = running.outcome()

    assert (word.reason, word.progress and word.progress.step, running.end()) == (
        "Preempted",
        step,
        ExitCode.PREEMPTED,
    )
    assert result(one.finish()) == result(plain)


def test_a_stop_in_the_last_predictions_is_heard_there_and_the_next_attempt_predicts(job: Job, tmp_path: Path) -> None:
    data = Path(str(job.config["dataset"]["uri"]).removeprefix("file://"))
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "test.jsonl").write_text((data / "validation.jsonl").read_text() * 25)
    dataset = {**job.config["dataset"], "uri": f"file://{tmp_path / 'data'}", "splits": {"test": "test"}}
    training = {**EPOCHS, "max_steps": 13, "per_device_eval_batch_size": 1}
    wanted = changed(dict(job.config), dataset=dataset, training=training)
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    one = replace(job, config=wanted, folder=job.folder / "again")
    running = one.attempt()
    while not (running.progress and running.progress.state is TrainerState.FINISHING):
        assert running.process.poll() is None, running.log()
        time.sleep(0.005)
    running.stop()
    running.end()
    word, done = running.outcome(), one.finish()

    assert (word.reason, done.progress and done.progress.resume and done.progress.resume.from_step) == ("Preempted", 13)
    assert (predictions(done), result(done)) == (predictions(plain), result(plain))


def predictions(running: Running) -> str:
    """What the final model said of the test split."""
    return (running.work / "output" / "final" / "test_predictions.jsonl").read_text()


def test_a_job_without_a_durable_place_says_that_it_starts_anew(job: Job) -> None:
    running = replace(job, volume=False).attempt()
    running.reach(2)
    running.stop()

    assert "A preempted attempt starts from the beginning." in running.outcome().message
