"""A program of the author's own under the same attempts: restored, watched, published, stopped, put into words."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_trainer import program
from finetune_trainer.contract.outcome import ExitCode, OutcomeKind
from finetune_trainer.contract.program import Program
from finetune_trainer.programs.process import command_line

from tests.trainer.resume_fixtures import from_nothing
from tests.trainer.running import Job, Running

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "own-program.yaml"

COUNTING = """
import json, os, pathlib, time
folder = pathlib.Path(os.environ["FINETUNE_CHECKPOINT_DIR"])
start = os.environ.get("FINETUNE_RESUME_FROM")
state = json.loads(pathlib.Path(start, "state.json").read_text()) if start else {"seen": []}
while len(state["seen"]) < 3:
    state["seen"].append(len(state["seen"]) + 1)
    target = folder / f"checkpoint-{len(state['seen'])}"
    target.mkdir()
    (target / "state.json").write_text(json.dumps(state))
    (target / "trainer_state.json").write_text(json.dumps({"max_steps": 3}))
    go_on = pathlib.Path(os.environ["GO_ON"])
    while not go_on.exists():
        time.sleep(0.01)
(folder / "result").write_text(json.dumps(state["seen"]))
"""
"""A loop that knows nothing of us but two variables; it waits after a step until a file is there."""

ORDERLY = """
import atexit, os, pathlib
atexit.register(lambda: pathlib.Path(os.environ["FINETUNE_CHECKPOINT_DIR"], "in-order").touch())
"""

NOISY = """
import atexit, sys
atexit.register(lambda: sys.stderr.write("\\r  3%|#    | 1/30\\nwandb: View the run"))
"""

AGREEING = """
import os, pathlib, sys, time
from finetune_trainer import program
start = program.resume_from()
step = int((start / "step").read_text()) if start else 0
while step < 20:
    step += 1
    program.progress(step, 20, loss=1 / step)
    while step == 10 and start is None and not program.should_stop():
        time.sleep(0.01)
    if program.should_stop():
        fresh = pathlib.Path("fresh")
        fresh.mkdir()
        (fresh / "step").write_text(str(step))
        program.checkpoint(step, fresh)
        sys.exit(0)
"""
"""A loop that uses the library, waits to be stopped at step 10, and forgets not to end with 0."""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Job]:
    """A job whose program is given as its text, in an interpreter that nobody has to fork."""
    python = from_nothing(tmp_path)

    def job(text: str, **blocks: Any) -> Job:
        (tmp_path / "program.py").write_text(text)
        command = [sys.executable, str(tmp_path / "program.py")]
        env = {"GO_ON": str(tmp_path / "go-on")}
        return Job(folder=tmp_path / "job", config=config(command, **blocks), socket=python, env=env)

    return job


def config(command: list[str], **blocks: Any) -> dict[str, Any]:
    """A job with a program, without W&B."""
    return {
        "job": {"name": "own", "namespace": "default", "uid": "11111111-2222-3333-4444-555555555555"},
        "runId": "own",
        "program": {"command": command},
        "wandb": {"mode": "disabled"},
        "gracePeriodSeconds": 30,
        **blocks,
    }


def ended(running: Running) -> tuple[OutcomeKind, str]:
    """How it ended."""
    word = running.outcome()
    return word.kind, word.reason


def published(running: Running, step: int) -> bool:
    """Whether a checkpoint of the step has reached its durable place, after waiting for it."""
    running.reach(step)
    while (known := running.progress) is not None and running.process.poll() is None:
        if known.checkpoint is not None and known.checkpoint.step >= step:
            return True
    return False


def test_a_program_that_is_killed_goes_on_from_its_newest_complete_checkpoint(made: Callable[..., Job]) -> None:
    job = made(COUNTING)
    running = job.attempt()
    assert published(running, 1), running.log()
    running.kill()
    job.reported = running.progress
    Path(job.env["GO_ON"]).touch()
    last = job.finish()

    assert json.loads((last.work / "output" / "result").read_text()) == [1, 2, 3]
    assert [last.progress.resume.from_step if last.progress and last.progress.resume else None] == [1]


def test_a_program_that_stops_when_asked_loses_nothing_and_is_not_taken_for_finished(made: Callable[..., Job]) -> None:
    job = made(AGREEING)
    running = job.attempt()
    assert running.reach(10), running.log()
    running.stop()
    stopped = ended(running)
    job.reported = running.progress
    last = job.finish()

    assert stopped == (OutcomeKind.PREEMPTED, "Preempted")
    assert last.progress is not None
    assert (last.progress.step, last.progress.resume and last.progress.resume.from_step) == (20, 10)


def test_a_program_that_does_not_listen_is_ended_by_the_signal(made: Callable[..., Job]) -> None:
    job = made(COUNTING)
    running = job.attempt()
    assert published(running, 1), running.log()
    running.stop()
    word = running.outcome()

    assert (running.end(), word.reason) == (ExitCode.PREEMPTED, "Preempted")
    assert "the newest checkpoint that the program completed is of step 1" in word.message


def test_a_program_may_be_interrupted_in_order_instead(made: Callable[..., Job]) -> None:
    job = made(ORDERLY + COUNTING)
    job.config["program"]["stopSignal"] = "SIGINT"
    running = job.attempt()
    assert running.reach(1), running.log()
    running.stop()
    running.end()

    assert (running.work / "output" / "in-order").exists()


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        pytest.param(
            f"{NOISY}raise ValueError('no such column')", OutcomeKind.FAILED, "no such column", id="an exception"
        ),
        pytest.param("import os; os.kill(os.getpid(), 9)", OutcomeKind.FAILED, "signal 9", id="a signal"),
    ],
)
def test_a_failure_is_told_in_the_programs_last_line(
    made: Callable[..., Job], text: str, kind: OutcomeKind, said: str
) -> None:
    word = made(text).attempt().outcome()
    assert (word.kind, said in word.message) == (kind, True)


def test_a_program_that_once_said_how_far_it_is_and_falls_silent_has_hung(made: Callable[..., Job]) -> None:
    text = "import time\nfrom finetune_trainer import program\nprogram.progress(1, 2)\ntime.sleep(600)"
    running = made(text, hangTimeoutSeconds=2).attempt()
    assert (running.outcome().reason, running.end()) == ("Hung", ExitCode.HUNG)


def test_a_command_that_is_not_there_is_the_authors_mistake(made: Callable[..., Job]) -> None:
    running = made("", program={"command": ["nonesuch"]}).attempt()
    assert ended(running) == (OutcomeKind.CONFIGURATION, "ProgramNotFound")


@pytest.mark.training
def test_all_ranks_hear_of_a_stop_that_one_was_asked_for(tmp_path: Path, socket: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "stop-requested").touch()
    command = [f"{socket}.python", "-m", "agree", str(tmp_path / "meeting")]
    ranks = [
        subprocess.Popen(
            command, env=os.environ | {"RANK": rank, "FINETUNE_WORK_DIR": str(tmp_path / rank)}, stdout=subprocess.PIPE
        )
        for rank in ("0", "1")
    ]
    assert [rank.communicate(timeout=100)[0] for rank in ranks] == [b"True", b"True"]


def test_outside_of_a_job_nothing_is_asked_and_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FINETUNE_WORK_DIR", "FINETUNE_RESUME_FROM", "FINETUNE_CHECKPOINT_DIR"):
        monkeypatch.delenv(name, raising=False)
    program.progress(1, 2)
    program.checkpoint(1, tmp_path / "none")

    assert (program.resume_from(), program.should_stop()) == (None, False)


def test_arguments_are_filled_in_and_left_out_where_there_is_no_checkpoint() -> None:
    wanted = Program(command=("train", "$(HOME)"), args=("--from=$(FINETUNE_RESUME_FROM)", "$$(HOME)", "$(NONE)"))
    first = command_line(wanted, {"HOME": "/work"})
    later = command_line(wanted, {"HOME": "/work", "FINETUNE_RESUME_FROM": "/c"})

    assert first == ("train", "/work", "$(HOME)", "$(NONE)")
    assert later == ("train", "/work", "--from=/c", "$(HOME)", "$(NONE)")


@pytest.mark.training
def test_an_unmodified_trainer_script_resumes_bit_for_bit(
    tmp_path: Path,
    material: Path,
    socket: Path,
) -> None:
    _, mounted = yaml.safe_load_all(EXAMPLE.read_text())
    (tmp_path / "train.py").write_text(mounted["data"]["train.py"])
    (tmp_path / "data").mkdir()
    rows = (material / "data" / "train.jsonl").read_text().replace('"no"', "0").replace('"yes"', "1")
    (tmp_path / "data" / "train.jsonl").write_text(rows)
    arguments = [
        *(f"--model={material / 'model'}", f"--dataset={tmp_path / 'data'}", "--text=text", "--max_steps=16"),
        *("--per_device_train_batch_size=2", "--gradient_accumulation_steps=2", "--save_steps=4", "--logging_steps=2"),
        *("--save_total_limit=2", "--report_to=none", "--use_cpu", "--output_dir=$(FINETUNE_CHECKPOINT_DIR)"),
        "--resume_from_checkpoint=$(FINETUNE_RESUME_FROM)",
    ]
    job = config([f"{socket}.python", "-m", "script", str(tmp_path / "train.py"), *arguments])
    pause = {"PAUSE_AT": "9", "GO_ON": str(tmp_path / "go-on")}
    disturbed = Job(folder=tmp_path / "disturbed", config=job, socket=socket, env=pause)
    stopped = disturbed.attempt()
    assert published(stopped, 8), stopped.log()
    stopped.stop()
    assert ended(stopped) == (OutcomeKind.PREEMPTED, "Preempted")
    disturbed.reported = stopped.progress
    Path(pause["GO_ON"]).touch()
    last = disturbed.finish()
    plain = Job(folder=tmp_path / "plain", config=job, socket=socket, env=pause).finish()

    assert last.progress is not None
    assert last.progress.resume is not None
    assert last.progress.resume.from_step == 8
    assert result(last) == result(plain)


def result(running: Running) -> tuple[str, list[dict[str, Any]]]:
    """The final weights, and every loss that was logged over all attempts."""
    output = running.work / "output"
    state = json.loads((output / "checkpoint-16" / "trainer_state.json").read_text())
    weights = hashlib.sha256((output / "final" / "model.safetensors").read_bytes()).hexdigest()
    return weights, [{"step": row["step"], "loss": row["loss"]} for row in state["log_history"] if "loss" in row]
