"""The main job on the real node: the scheduler takes the GPU away, and the model is what it would have been."""

from pathlib import Path

import pytest

from tests.e2e.stage import EXAMPLES, Stage, example

pytestmark = pytest.mark.e2e

NAME = "bert-mrpc"
PROJECT = "huggingface-demo"
STEPS = 96
FILE = str(EXAMPLES / f"{NAME}.yaml")


def test_an_example_preempted_by_the_real_scheduler_comes_back_by_itself_and_is_identical(
    stage: Stage, tmp_path: Path
) -> None:
    others = stage.wandb.runs(PROJECT)
    stage.kubectl("apply", "-f", FILE)
    stage.reached(NAME, step=20)
    important = stage.takes_the_gpu()
    stage.kubectl("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{important}", "--timeout=120s")
    waiting = stage.until(NAME, lambda job: job.status.phase == "Pending" and job.status.attempt == 2)
    show(stage, tmp_path / "preempted.txt")
    stage.kubectl("delete", "pod", important)
    done = stage.completed(NAME)
    show(stage, tmp_path / "done.txt")
    assert stage.reasons(NAME) == ["Creating", "Stopping", "Preempted", "Unschedulable", "Finished"]
    assert [run.state for run in stage.wandb.runs(PROJECT)[len(others) :]] == ["finished"]
    assert stage.kubectl("diff", "-f", FILE) == ""
    assert (done.status.attempt, done.status.restarts.preemptions, done.status.restarts.total) == (2, 1, 1)
    assert done.status.last_attempts[1].reason == "PreemptionByScheduler"
    assert waiting.status.checkpoint is not None
    assert done.status.resume is not None
    assert (done.status.resume.from_step, done.status.resume.lost_steps) == (waiting.status.checkpoint.step, 0)
    assert stage.difference(NAME, example(NAME)) is None
    assert stage.left(NAME).steps == tuple(range(1, STEPS + 1))
    log = stage.kubectl("logs", f"{NAME}-2-0")
    assert f"Training goes on from step {waiting.status.checkpoint.step}: {waiting.status.checkpoint.artifact}\n" in log
    assert ("\nstep 96/96 (100 %), loss " in log, "HTTP Request" in log) == (True, False)


def show(stage: Stage, file: Path) -> None:
    """Keep what a user sees."""
    file.write_text("\n".join(stage.kubectl(*words) for words in (("get", "ftj"), ("describe", "ftj", NAME))))
