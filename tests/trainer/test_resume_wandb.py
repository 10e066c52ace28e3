"""The same promise with W&B as the only durable place: one run, its history whole, its artifacts resumable."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_sandbox.wandb_server.embedded import WandbServer
from finetune_trainer.contract.outcome import OutcomeKind
from finetune_trainer.tracking.history import GLOBAL_STEP

from tests.trainer.resume_fixtures import tracked
from tests.trainer.running import PATIENCE, Job, lasting, weights

pytestmark = pytest.mark.training


def story(server: WandbServer, name: str) -> list[dict[str, Any]]:
    """The run's history without what depends on the clock."""
    return [dict(lasting(row)) for row in server.run(name).history]


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory,
    config: dict[str, Any],
    socket: Path,
    server: WandbServer,
) -> tuple[str, list[dict[str, Any]]]:
    """Weights and history of an undisturbed run."""
    plain = Job(folder=tmp_path_factory.mktemp("plain"), config=config, socket=socket)
    final = weights(tracked(plain, server, "undisturbed").finish())
    return final, story(server, "undisturbed")


@pytest.mark.parametrize(
    ("steps", "how"),
    [((4, 12), "SIGTERM"), ((13, 19), "SIGKILL")],
    ids=["asked to stop twice", "killed twice"],
)
def test_a_disturbed_run_has_the_weights_and_the_history_of_an_undisturbed_one(
    job: Job,
    server: WandbServer,
    expected: tuple[str, Any],
    steps: tuple[int, ...],
    how: str,
) -> None:
    name = f"run-{how.lower()}"
    final = weights(tracked(job, server, name).disturbed(steps, how))
    assert (final, story(server, name)) == expected


def test_an_attempt_after_a_kill_learns_from_the_run_how_far_the_one_before_had_got(
    job: Job, server: WandbServer
) -> None:
    one = tracked(job, server, "reached", training={"max_steps": 60, "logging_steps": 1, "eval_strategy": "no"})
    killed = one.attempt(WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL="1")
    killed.reach(7)
    deadline = time.monotonic() + PATIENCE
    while not server.run("reached").history:
        assert time.monotonic() < deadline, killed.log()
        time.sleep(0.01)
    killed.kill()
    began = time.time()
    finished = one.finish().progress
    sent = [row[GLOBAL_STEP] for row in server.run("reached").history if row["_timestamp"] < began]
    assert finished is not None
    assert finished.resume is not None
    assert (killed.progress.resume.reached_step, finished.resume.reached_step) == (None, sent[-1])


def test_a_stopped_run_is_preempted_and_its_newest_artifact_can_be_resumed_from(job: Job, server: WandbServer) -> None:
    running = tracked(job, server, "stopped").attempt()
    running.reach(7)
    running.stop()
    step = running.outcome().progress.step
    newest = server.artifacts("checkpoint-stopped")[-1]
    assert (
        server.run("stopped").state,
        newest.metadata["step"],
        newest.metadata["kind"],
        "latest" in newest.aliases,
    ) == (
        "preempted",
        step,
        "termination",
        True,
    )


def test_only_the_wanted_number_of_checkpoints_is_kept_and_the_final_model_is_published(
    job: Job,
    server: WandbServer,
) -> None:
    tracked(job, server, "kept", checkpoint={"everySteps": 2, "keep": 2}).finish()
    kept = [one for one in server.artifacts("checkpoint-kept") if one.state == "COMMITTED"]
    final = server.artifacts("model-kept")[-1]
    assert (len(kept), "final_model" in final.aliases, "optimizer.pt" in final.files) == (2, True, False)


def test_a_refused_key_is_the_authors_mistake(job: Job, tmp_path: Path) -> None:
    from finetune_sandbox.wandb_server.server import Settings

    with WandbServer(tmp_path / "strict", settings=Settings(keys=("k" * 40,))) as strict:
        one = replace(tracked(job, strict, "refused"), env={**strict.environment(), "WANDB_API_KEY": "x" * 40})
        word = one.attempt().outcome()
    assert (word.kind, word.reason) == (OutcomeKind.CONFIGURATION, "WandbKeyRefused")
