"""Runs of the real trainer: started, disturbed at a step, gone on with in an empty directory, compared."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_trainer.contract import environment
from finetune_trainer.contract.outcome import Outcome, OutcomeKind, Progress
from finetune_trainer.pod.ports import free_port
from finetune_trainer.pod.progress import last_progress

PATIENCE = 120.0
ATTEMPTS = 40
CHANGES_WITH_TIME = ("_step", "_timestamp", "_runtime")


@dataclass(slots=True, kw_only=True)
class Running:
    """One supervisor with its work directory."""

    process: subprocess.Popen[bytes]
    work: Path

    @property
    def progress(self) -> Progress | None:
        """What rank 0 wrote last."""
        return last_progress(self.work / "progress.json")

    def has_reached(self, step: int) -> bool:
        """Whether a step was made."""
        word = self.progress
        return word is not None and word.step >= step

    def reach(self, step: int) -> bool:
        """Wait for a step; false when the run ended before it was seen there."""
        deadline, looked_at = time.monotonic() + PATIENCE, 0
        while (written := self._written()) == looked_at or not self.has_reached(step):
            looked_at = written
            if self.process.poll() is not None:
                return self.has_reached(step)
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)
        return True

    def _written(self) -> int:
        """When the progress was written, in nanoseconds: to ask costs less than to read it."""
        try:
            return (self.work / "progress.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def stop(self) -> None:
        """Ask the pod to stop, as a kubelet does."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Take the pod away without notice: every rank, then the supervisor."""
        self.process.kill()
        for path in (self.work / "ranks").glob("*.pid"):
            try:
                os.kill(int(path.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    def end(self) -> int:
        """Wait for the supervisor's exit code."""
        return self.process.wait(PATIENCE)

    def outcome(self) -> Outcome:
        """The termination message, after the end."""
        self.end()
        path = self.work / "termination-log"
        assert path.exists(), self.log()
        return Outcome.model_validate_json(path.read_text())

    def has_finished(self) -> bool:
        """Whether it ended with its work done."""
        path = self.work / "termination-log"
        return path.exists() and Outcome.model_validate_json(path.read_text()).kind is OutcomeKind.FINISHED

    def log(self) -> str:
        """What the pod printed."""
        return (self.work / "log").read_text()[-6000:]


@dataclass(slots=True, kw_only=True)
class Job:
    """A job whose attempts this test starts itself, each in an empty directory."""

    folder: Path
    config: Mapping[str, Any]
    socket: Path
    env: Mapping[str, str] = field(default_factory=dict)
    volume: bool = True
    attempts: int = 0
    last: Running | None = None
    reported: Progress | None = None

    def attempt(self, **extra: str) -> Running:
        """Start the next attempt, told what the last one reported."""
        self.attempts += 1
        work = self.folder / f"attempt-{self.attempts}"
        work.mkdir(parents=True)
        config = work / "run.json"
        config.write_text(json.dumps(self.config))
        log = (work / "log").open("wb")
        env = {**clean_environment(), **self._environment(work), **self.env, **extra}
        process = subprocess.Popen((*supervisor(self.socket), str(config)), env=env, stdout=log, stderr=log)
        log.close()
        self.last = Running(process=process, work=work)
        return self.last

    def _environment(self, work: Path) -> dict[str, str]:
        known = self.reported.checkpoint if self.reported else None
        status = {environment.MIN_STEP: str(known.step), environment.MIN_DIGEST: known.digest} if known else {}
        volume = {environment.CHECKPOINT_DIR: str(self.folder / "volume")} if self.volume else {}
        return {
            environment.WORK_DIR: str(work),
            environment.TERMINATION_LOG: str(work / "termination-log"),
            environment.ATTEMPT: str(self.attempts),
            environment.TOKEN: f"token-{self.attempts}",
            environment.PROGRESS_PORT: str(free_port()),
            "POD_IP": "127.0.0.1",
            **status,
            **volume,
        }

    def finish(self) -> Running:
        """Run one attempt to its end, which must be the finish."""
        running = self.attempt()
        word = running.outcome()
        assert word.kind is OutcomeKind.FINISHED, running.log()
        return running

    def disturbed(self, steps: tuple[int, ...], how: str) -> Running:
        """Take one attempt after the other away, each after a step, then let the last one finish.

        A request at the very last step may come too late to be heard; then that attempt is the last one.
        """
        for step in steps:
            running = self.attempt()
            if running.reach(step):
                running.stop() if how == "SIGTERM" else running.kill()
                running.end()
            if running.has_finished():
                return running
            self.reported = running.progress or self.reported
        return self.finish()

    def checkpoints(self) -> list[Path]:
        """The durable checkpoints, newest first."""
        return sorted((self.folder / "volume").glob("checkpoint-*/step-*"), reverse=True)


def supervisor(ranks: Path) -> tuple[str, ...]:
    """The command of a supervisor whose ranks are forked from there; it lacks the file of the run."""
    return (f"{ranks.parent / 'supervisors'}.python", "-m", "tests.trainer.supervise", str(ranks))


def clean_environment() -> dict[str, str]:
    """The test's own environment without what would steer the trainer."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WANDB_", "FINETUNE_", "HF_", "OMP_", "MKL_"))
    }


def published(running: Running) -> Path:
    """The file of the final weights, or of the adapter's."""
    (path,) = (running.work / "output" / "final").glob("*model.safetensors")
    return path


def weights(running: Running) -> str:
    """The hash of the final weights, or of the adapter's."""
    return hashlib.sha256(published(running).read_bytes()).hexdigest()


def rows(running: Running) -> list[dict[str, Any]]:
    """What the Trainer logged over all attempts, without what depends on the clock."""
    state = json.loads((running.work / "output" / "trainer_state.json").read_text())
    return [dict(lasting(row)) for row in state["log_history"]]


def lasting(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The columns of a row that an undisturbed run has in the same way."""
    for name, value in row.items():
        clock = name in CHANGES_WITH_TIME or name.startswith("system/")
        if not clock and not name.endswith(("_runtime", "_per_second")):
            yield name, value


def result(running: Running) -> tuple[str, list[dict[str, Any]]]:
    """What must not depend on disturbances: final weights and everything logged."""
    return weights(running), rows(running)
