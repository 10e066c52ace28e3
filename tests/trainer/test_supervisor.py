"""What the supervisor says of ranks that end badly, with a few lines of shell in the ranks' place."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.contract.outcome import ExitCode, Outcome, OutcomeKind
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.pod import last_word
from finetune_trainer.pod.ports import free_port
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.process.rank import unexpected
from finetune_trainer.process.supervisor import Supervisor, is_running
from finetune_trainer.redaction import redacted

JOB: dict[str, Any] = {
    "job": {"name": "tiny", "namespace": "default", "uid": "u"},
    "runId": "u",
    "task": "text-classification",
    "model": {"uri": "hf://a/b"},
    "dataset": {"uri": "hf://a/b"},
    "hangTimeoutSeconds": 1,
}


SUPERVISE = Path(__file__).parent / "supervise.py"
STANDING = """
import faulthandler, pathlib, os, signal, time
def standing_here():
    pathlib.Path(os.environ["FINETUNE_WORK_DIR"], "ranks", "0.pid").write_text(str(os.getpid()))
    time.sleep(600)
faulthandler.register(signal.SIGUSR2)
standing_here()
"""


def environment(folder: Path) -> dict[str, str]:
    """What a pod's variables say, in a folder of the test's own."""
    return {
        "FINETUNE_WORK_DIR": str(folder / "work"),
        "FINETUNE_TERMINATION_LOG": str(folder / "word"),
        "FINETUNE_PROGRESS_PORT": str(free_port()),
        "POD_IP": "127.0.0.1",
    }


def interpreter(folder: Path, ranks: str) -> Path:
    """A shell script in the place of the ranks' interpreter."""
    python = folder / "socket.python"
    python.write_text(f"#!/bin/sh\n{ranks}\n")
    python.chmod(0o755)
    return python


def supervised(folder: Path, ranks: str, **settings: Any) -> subprocess.Popen[bytes]:
    """A supervisor in a process of its own; its log is a file."""
    interpreter(folder, ranks)
    (folder / "run.json").write_text(json.dumps({**JOB, **settings}))
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(SUPERVISE), str(folder / "socket"), str(folder / "run.json")],
            env={**os.environ, **environment(folder)},
            stdout=log,
            stderr=log,
        )


def wait_for(seen: Callable[[], Any], folder: Path) -> None:
    """Wait until something is seen."""
    deadline = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.02)


def reason(folder: Path) -> str:
    """The reason in the termination message."""
    return Outcome.model_validate_json((folder / "word").read_text()).reason


def ended(folder: Path, ranks: str) -> tuple[str, ExitCode]:
    """The reason and exit code of a supervisor whose ranks are a shell script."""
    here = surroundings(environment(folder))
    python = (str(interpreter(folder, ranks)),)
    code = Supervisor(RunConfig.model_validate(JOB), folder / "run.json", here, python=python).run()
    return reason(folder), code


def told(folder: Path, ranks: str, node: str, **compute: int) -> Outcome:
    """The word of a gang's pod whose ranks, or whose torchrun, are a shell script."""
    here = surroundings(environment(folder) | {"FINETUNE_NODE_RANK": node, "FINETUNE_RENDEZVOUS": "127.0.0.1:1"})
    config = RunConfig.model_validate({**JOB, "compute": compute})
    Supervisor(config, folder / "run.json", here, python=(str(interpreter(folder, ranks)),)).run()
    return Outcome.model_validate_json((folder / "word").read_text())


@pytest.mark.parametrize(
    ("ranks", "reason", "code"),
    [
        pytest.param("exit 3", "Crashed", ExitCode.FAILED, id="no word"),
        pytest.param("kill -KILL $$", "KilledBySignal", ExitCode.FAILED, id="a signal"),
        pytest.param("exec sleep 600", "Hung", ExitCode.HUNG, id="no step"),
    ],
)
def test_ranks_without_a_word_are_put_into_words(tmp_path: Path, ranks: str, reason: str, code: ExitCode) -> None:
    assert ended(tmp_path, ranks) == (reason, code)


@pytest.mark.parametrize("node", ["0", "1"])
def test_a_pod_whose_gang_never_comes_together_has_lost_its_peers(tmp_path: Path, node: str) -> None:
    word = told(tmp_path, "exit 1", node, nodes=2)

    assert (word.kind, "did not find each other" in word.message) == (OutcomeKind.PEER_LOST, True)


def test_a_pod_that_waits_for_its_gang_does_not_hang(tmp_path: Path) -> None:
    assert told(tmp_path, "sleep 2; exit 1", "0", nodes=2).kind is OutcomeKind.PEER_LOST


def test_torchrun_waits_for_pods_that_wait_for_room(tmp_path: Path) -> None:
    told(tmp_path, f"echo $@ > {tmp_path}/asked; exit 1", "0", nodes=2)

    assert f"--rdzv-conf timeout={24 * 3600}" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (1, (OutcomeKind.FAILED, "KilledBySignal", True)),
        pytest.param(2, (OutcomeKind.PEER_LOST, "PeerLost", False), id="another pod may hold the cause"),
    ],
)
def test_a_process_that_ends_without_a_word_is_named_by_its_own_pod(
    tmp_path: Path, nodes: int, expected: tuple[OutcomeKind, str, bool]
) -> None:
    lost = last_word.outcome(OutcomeKind.PEER_LOST, "PeerLost", "Why?", surroundings(environment(tmp_path)))
    (tmp_path / "lost").write_text(lost.model_dump_json())
    ranks = tmp_path / "work" / "ranks"
    came = [f"sh -c 'echo $$ > {ranks}/new'; mv {ranks}/new {ranks}/{rank}.pid" for rank in (0, 1)]
    left = f"cp {tmp_path}/lost {ranks}/0.outcome.json; exit 1"
    word = told(tmp_path, "; ".join((*came, left)), "0", nodes=nodes, processesPerNode=2)

    assert (word.kind, word.reason, word.message.startswith("Process 1 of this pod ended")) == expected


def test_a_disk_that_is_full_is_told_with_the_next_step(tmp_path: Path) -> None:
    problem = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    word = unexpected(problem, surroundings(environment(tmp_path)))
    assert (word.kind, word.reason, "podTemplate.resources" in word.message) == (OutcomeKind.FAILED, "DiskFull", True)


def test_no_secret_leaves_the_pod() -> None:
    text = "key local-0123456789 at https://me:word@host/x"
    assert redacted(text, {"WANDB_API_KEY": "local-0123456789"}) == "key [redacted] at https://[redacted]@host/x"


def test_a_stop_before_a_rank_exists_reaches_it_when_it_comes_up(tmp_path: Path) -> None:
    work = tmp_path / "work"
    late = f"""trap 'touch {work}/heard; exit 0' USR1
while [ ! -e {work}/stop-requested ]; do sleep 0.02; done
echo $$ > {work}/ranks/new; mv {work}/ranks/new {work}/ranks/0.pid
while :; do sleep 0.02; done"""
    supervisor = supervised(tmp_path, late, hangTimeoutSeconds=60)
    wait_for((work / "ranks").exists, tmp_path)
    supervisor.terminate()

    assert (supervisor.wait(60), reason(tmp_path), (work / "heard").exists()) == (
        ExitCode.PREEMPTED,
        "Preempted",
        True,
    )


def test_a_stop_ends_a_pod_that_waits_for_its_gang(tmp_path: Path) -> None:
    waiting = f"touch {tmp_path}/waiting; exec sleep 600"
    supervisor = supervised(tmp_path, waiting, hangTimeoutSeconds=600, compute={"nodes": 2})
    wait_for((tmp_path / "waiting").exists, tmp_path)
    supervisor.terminate()

    assert (supervisor.wait(60), reason(tmp_path)) == (ExitCode.PREEMPTED, "Preempted")


def test_a_hang_leaves_each_ranks_stack_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "standing.py").write_text(STANDING)
    code = supervised(tmp_path, f"exec {sys.executable} {tmp_path / 'standing.py'}", hangTimeoutSeconds=2).wait(60)

    assert (code, "in standing_here" in (tmp_path / "log").read_text()) == (ExitCode.HUNG, True)


def test_orphans_are_reaped(tmp_path: Path) -> None:
    mother = f"""( sh -c 'echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/orphan' & )
while [ ! -e {tmp_path}/orphan ] || [ -e /proc/$(cat {tmp_path}/orphan) ]; do sleep 0.02; done
touch {tmp_path}/reaped"""
    supervised(tmp_path, mother, hangTimeoutSeconds=20).wait(60)

    assert (tmp_path / "reaped").exists()


def test_ranks_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    ranks = f"echo $$ > {work}/ranks/new; mv {work}/ranks/new {work}/ranks/0.pid; exec sleep 600"
    supervisor = supervised(tmp_path, ranks, hangTimeoutSeconds=600)
    wait_for((work / "ranks" / "0.pid").exists, tmp_path)
    supervisor.kill()
    supervisor.wait(60)
    rank = int((work / "ranks" / "0.pid").read_text())

    wait_for(lambda: not is_running(rank), tmp_path)


@pytest.mark.parametrize("module", ["finetune_trainer", "finetune_trainer.process.rank"])
def test_a_run_configuration_with_mistakes_is_refused_in_sentences(tmp_path: Path, module: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**JOB, "tusk": 1}))
    env = {**os.environ, **environment(tmp_path)}
    command = [sys.executable, "-m", module, str(tmp_path / "run.json")]
    code = subprocess.run(command, env=env, check=False, capture_output=True).returncode
    written = tmp_path / "word" if module == "finetune_trainer" else tmp_path / "work" / "ranks" / "0.outcome.json"
    word = Outcome.model_validate_json(written.read_text())

    assert (word.kind, word.message, code) == (
        OutcomeKind.CONFIGURATION,
        "tusk is not a field: remove it or correct its name.",
        ExitCode.CONFIGURATION if module == "finetune_trainer" else 1,
    )
