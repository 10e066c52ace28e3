"""`finetune run` as a user types it, with pods that run."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_operator.names import MAX_JOB_NAME

from tests.operator.api.cases import base, merged
from tests.sandbox.browsing import page

FINETUNE = str(Path(sys.executable).with_name("finetune"))
REPORTED = ("steps", "restarts", "identical to")
COUNTS = """
import os, pathlib, sys, time, wandb
from finetune_trainer import program

start = program.resume_from()
step = int((start / "step").read_text()) if start else 0
run = wandb.init()
while step < 20:
    step += 1
    run.log({"train/global_step": step, "train/loss": 1 / step})
    program.progress(step, 20, loss=1 / step)
    while step == 10 and not start and "undisturbed" not in os.environ["WANDB_NAME"] and not program.should_stop():
        time.sleep(0.01)
    if program.should_stop():
        saved = pathlib.Path("saved")
        saved.mkdir()
        (saved / "step").write_text(str(step))
        program.checkpoint(step, saved)
        run.finish()
        sys.exit(1)
model = wandb.Artifact(f"model-{run.id}", "model")
with model.new_file("model.safetensors") as file:
    file.write(str(step))
run.log_artifact(model)
run.finish()
"""
"""Twenty steps whose model is their number; unless it is the twin, it waits to be stopped at the tenth."""


def job_file(folder: Path, change: dict[str, Any]) -> str:
    """A file with the base job, changed."""
    (folder / "job.yaml").write_text(yaml.safe_dump(merged(base(), change)))
    return str(folder / "job.yaml")


def program(code: str) -> dict[str, Any]:
    """The change that has a job run this Python, once."""
    own = {"command": ["python", "-c", code]}
    trained = dict.fromkeys(("task", "model", "dataset", "training"))
    return {"spec": {"program": own, "restart": {"maxFailures": 0}, **trained}}


@pytest.mark.training
def test_a_preempted_run_is_identical_to_an_undisturbed_one_whatever_its_name(tmp_path: Path) -> None:
    file = job_file(tmp_path, {"metadata": {"name": "n" * MAX_JOB_NAME}, **program(COUNTS)})
    command = (FINETUNE, "run", file, "--sandbox", "--preempt-at", "10", "--compare")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    said = dict(line.split(":", 1) for line in done.stdout.splitlines() if line.startswith(REPORTED))
    assert (done.returncode, {name: value.strip() for name, value in said.items()}) == (
        0,
        {
            "steps": "20",
            "restarts": "1",
            "steps lost": "0",
            "identical to the undisturbed run": "yes",
        },
    ), done.stdout + done.stderr


@pytest.mark.training
@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("raise SystemExit('No more.')", "The program ended with 1: No more.", id="a job that fails"),
        pytest.param("pass", "was not preempted at step 5: the job had 0 steps.", id="a preemption that never was"),
    ],
)
def test_what_went_wrong_is_said_and_the_pages_stay_until_ctrl_c(tmp_path: Path, code: str, said: str) -> None:
    command = (FINETUNE, "run", job_file(tmp_path, program(code)), "--sandbox", "--preempt-at=5", "--keep-server")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        printed = until(running, "The runs are at ")
        shown = page(printed[-1].split()[4]).all("h1")[0].text
        running.send_signal(signal.SIGINT)
        status = running.wait(30)
    assert (status, shown, said in "".join(printed)) == (1, "Runs", True), printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "WANDB_API_KEY": "k" * 40}
    (tmp_path / "file").mkdir()
    file = job_file(tmp_path / "file", program("import signal; signal.pause()"))
    command = ("env", "--default-signal=HUP,TERM", FINETUNE, "run", file)  # nohup would have the run ignore SIGHUP.
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            until(running, "Creating: ")
            running.send_signal(number)
            status = running.wait(60)
        finally:
            running.kill()
    assert (status, [each.name for each in tmp_path.iterdir()]) == (143, ["file"])


def until(running: subprocess.Popen[str], start: str) -> list[str]:
    """What it prints up to a line that starts like this."""
    assert running.stdout is not None
    printed = [""]
    while not printed[-1].startswith(start):
        printed.append(running.stdout.readline())
        assert printed[-1], printed
    return printed
