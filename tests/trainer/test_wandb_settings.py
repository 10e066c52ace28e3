"""Settings of the run as W&B's documentation has them, by the job's spec and by the variables that users know."""

import time
from dataclasses import replace
from typing import Any

import pytest
from finetune_sandbox.wandb_server.embedded import WandbServer
from finetune_sandbox.wandb_server.faults import Effect, Fault
from finetune_trainer.contract.outcome import CheckpointKind, OutcomeKind
from finetune_trainer.process.launch import without_wandb
from finetune_trainer.tracking.run import wishes

from tests.trainer import tiny
from tests.trainer.resume_fixtures import tracked
from tests.trainer.running import Job, Running

SHORT = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "eval_strategy": "no", "logging_steps": 1}
KEY = {"WANDB_API_KEY": "k" * 40}


@pytest.mark.parametrize(
    ("spec", "env", "name", "value"),
    [
        ({}, KEY, "log_model", "end"),
        ({}, {**KEY, "WANDB_LOG_MODEL": "checkpoint"}, "log_model", "checkpoint"),
        ({}, {**KEY, "WANDB_LOG_MODEL": "true"}, "log_model", "end"),
        ({}, {**KEY, "WANDB_LOG_MODEL": "FALSE"}, "log_model", "false"),
        ({"logModel": "end"}, {**KEY, "WANDB_LOG_MODEL": "false"}, "log_model", "end"),
        ({}, {**KEY, "WANDB_WATCH": "all"}, "watch", "all"),
        ({"watch": "gradients"}, {**KEY, "WANDB_WATCH": "all"}, "watch", "gradients"),
        ({}, KEY, "watch", "false"),
        ({}, KEY, "project", "huggingface"),
        ({}, {**KEY, "WANDB_PROJECT": "mine"}, "project", "mine"),
        ({"project": "spec"}, {**KEY, "WANDB_PROJECT": "mine"}, "project", "spec"),
        ({}, {**KEY, "WANDB_ENTITY": "team"}, "entity", "team"),
        ({}, KEY, "mode", "online"),
        ({}, {}, "mode", "disabled"),
        ({}, {"WANDB_MODE": "offline"}, "mode", "offline"),
    ],
)
def test_the_spec_beats_the_variable_and_the_variable_the_default(
    spec: dict[str, Any], env: dict[str, str], name: str, value: str
) -> None:
    assert getattr(wishes(tiny.config(wandb=spec), env), name) == value


@pytest.mark.parametrize(("value", "mode"), [("true", "disabled"), ("1", "disabled"), ("false", None), ("", None)])
def test_wandb_disabled_is_said_in_the_word_that_the_sdk_knows(value: str, mode: str | None) -> None:
    assert without_wandb({"WANDB_DISABLED": value}).get("WANDB_MODE") == mode


@pytest.mark.training
def test_a_run_is_named_and_its_saves_and_final_model_published_as_the_job_says(job: Job, server: WandbServer) -> None:
    wandb = {"project": "mine", "name": "pretty name", "group": "g", "tags": ["a", "b"], "notes": "n", "jobType": "t"}
    one = tracked(job, server, "named", wandb={**wandb, "logModel": "checkpoint"}, training=SHORT)
    one.finish()
    run = server.run("named")
    saves = {alias for version in server.artifacts("model-named") for alias in version.aliases}
    linked = server.artifacts("model-pretty-name")

    assert (
        (run.project, run.display_name, run.group, run.tags, run.notes, run.job_type),
        saves >= {"checkpoint_global_step_2", "checkpoint_global_step_4", "final_model"},
        "latest" in linked[-1].aliases,
        one.finish().outcome().reason,
    ) == (("mine", "pretty name", "g", ("a", "b"), "n", "t"), True, True, "AlreadyFinished")


@pytest.mark.training
def test_variables_alone_name_the_run_and_keep_models_out(job: Job, server: WandbServer) -> None:
    said = {"PROJECT": "yours", "NAME": "n", "RUN_GROUP": "g", "TAGS": "a,b", "LOG_MODEL": "false", "WATCH": "all"}
    variables = {f"WANDB_{name}": value for name, value in said.items()}
    one = tracked(job, server, "variables", wandb={}, training={**SHORT, "max_steps": 60})
    progress = replace(one, env={**one.env, **variables}).finish().progress
    run = server.run("variables")
    columns = {name.partition("/")[0] for row in run.history for name in row}

    assert (
        (run.project, run.display_name, run.group, run.tags),
        server.artifacts("model-variables") + server.artifacts("checkpoint-variables"),
        progress is not None and progress.not_durable is not None,
        columns >= {"gradients", "parameters"},
    ) == (("yours", "n", "g", ("a", "b")), (), True, True)


@pytest.mark.training
def test_wandb_disabled_leaves_no_run(job: Job, server: WandbServer) -> None:
    one = tracked(job, server, "disabled", training=SHORT)
    replace(one, env={**one.env, "WANDB_DISABLED": "true"}).finish()

    assert "disabled" not in {run.id for run in server.runs()}


@pytest.mark.training
def test_an_upload_too_slow_for_the_grace_period_is_said_and_the_one_before_named(
    job: Job,
    server: WandbServer,
) -> None:
    running = tracked(job, server, "slow", gracePeriodSeconds=7, training={"max_steps": 2000}).attempt()
    wait_for_checkpoint(running)
    server.fail(Fault(effect=Effect.HOLD, match="^put"))
    try:
        running.stop()
        word = running.outcome()
    finally:
        server.heal()
    kept = server.artifacts("checkpoint-slow")
    latest = [version for version in kept if "latest" in version.aliases]

    assert (
        (word.kind, word.reason, word.progress.checkpoint.kind),
        word.progress.grace_too_short in word.message,
        f"The newest published one is of step {word.progress.checkpoint.step}." in word.message,
        [one.metadata["step"] for one in latest],
    ) == (
        (OutcomeKind.PREEMPTED, "PreemptedUnpublished", CheckpointKind.PERIODIC),
        True,
        True,
        [word.progress.checkpoint.step],
    )


@pytest.mark.training
def test_a_kill_during_an_upload_leaves_latest_where_it_was(job: Job, server: WandbServer) -> None:
    one = tracked(job, server, "cut", training={"max_steps": 40})
    running = one.attempt()
    wait_for_checkpoint(running)
    server.fail(Fault(effect=Effect.HOLD, match="^put"))
    try:
        wait_for_a_pending_version(server, running)
        one.reported = running.progress
        running.kill()
        later = one.attempt()
        later.reach(one.reported.checkpoint.step + 1)
    finally:
        server.heal()
    resume = later.outcome().progress.resume

    assert (resume.from_step, resume.artifact, later.outcome().kind) == (
        one.reported.checkpoint.step,
        one.reported.checkpoint.artifact,
        OutcomeKind.FINISHED,
    )


def wait_for_a_pending_version(server: WandbServer, running: Running) -> None:
    """Wait until an upload is under way that the server holds up."""
    deadline = time.monotonic() + 60
    while not any(version.state == "PENDING" for version in server.artifacts("checkpoint-cut")):
        assert time.monotonic() < deadline, running.log()
        time.sleep(0.02)


def wait_for_checkpoint(running: Running) -> None:
    """Wait until a checkpoint is durable."""
    deadline = time.monotonic() + 120
    while running.progress is None or running.progress.checkpoint is None:
        assert time.monotonic() < deadline, running.log()
        time.sleep(0.01)
