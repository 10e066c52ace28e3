"""Trainings as processes of their own, each with all that it starts on one core: our trainer, or a script."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from finetune_trainer.contract import environment
from finetune_trainer.contract.outcome import Outcome
from finetune_trainer.pod.ports import free_port

from bench.clocked import STEPS_FILE

SETTLED = 20
"""Steps that are not counted: caches fill, allocators warm up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one process has shown."""

    intervals: tuple[float, ...]
    """Seconds from the end of a step to the end of the next, once it has settled."""
    start: float
    """Seconds from the command to the end of the first step."""
    peak_mib: float
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the phases of the start, by our trainer's own word."""
    rows: tuple[Mapping[str, Any], ...] = ()
    """What was logged."""

    @property
    def rate(self) -> float:
        """Steps a second."""
        return len(self.intervals) / sum(self.intervals)


def invent(folder: Path) -> None:
    """Write the models and the data that are trained."""
    subprocess.run((sys.executable, "-m", "bench.invented", str(folder)), check=True, capture_output=True)


def bare(work: Path, config: Mapping[str, Any], core: int) -> Ran:
    """The stock Trainer, by a script of a few lines."""
    return scripted(work, config, core, ("bench.bare_trainer",))


def scripted(
    work: Path,
    config: Mapping[str, Any],
    core: int | None,
    script: tuple[str, ...],
    *,
    threads: int = 1,
    settled: int = SETTLED,
) -> Ran:
    """A script, by its module's name and what it is told behind run.json and the folder."""
    module, *further = script
    command = ("bench.clocked", "-m", module, _written(work, config), str(work), *further)
    return _ran(work, core, command, {"OMP_NUM_THREADS": str(threads)}, settled)


def supervised(
    work: Path, config: Mapping[str, Any], core: int | None, variables: Mapping[str, str], *, settled: int = SETTLED
) -> Ran:
    """Our trainer with its supervisor, as a pod runs it."""
    pod = {
        environment.WORK_DIR: str(work),
        environment.TERMINATION_LOG: str(work / "termination-log"),
        environment.TOKEN: work.name,
        environment.PROGRESS_PORT: str(free_port()),
        environment.POD_IP: "127.0.0.1",
    }
    return _ran(work, core, ("bench.supervised", _written(work, config)), pod | dict(variables), settled)


def _written(work: Path, config: Mapping[str, Any]) -> str:
    work.mkdir()
    job = {"job": {"name": work.name, "namespace": "bench", "uid": work.name}, "runId": work.name}
    (work / "run.json").write_text(json.dumps({**job, **config}))
    return str(work / "run.json")


def _ran(work: Path, core: int | None, command: tuple[str, ...], variables: Mapping[str, str], settled: int) -> Ran:
    """Run it, on one core or wherever the machine likes."""
    steps = work / "steps.json"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "FINETUNE_"))}
    pinned = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    pinned_to = () if core is None else ("taskset", "--cpu-list", str(core))
    began = time.monotonic()
    with (work / "log").open("wb") as log:
        subprocess.run(
            (*pinned_to, sys.executable, "-m", *command),
            env={**kept, **pinned, **variables, STEPS_FILE: str(steps)},
            stdout=log,
            stderr=log,
            check=False,
        )
    if not steps.exists():
        raise RuntimeError((work / "log").read_text()[-3000:])
    told = json.loads(steps.read_text())
    ended: list[float] = told["ended"]
    return Ran(
        intervals=tuple(after - before for before, after in pairwise(ended[settled:])),
        start=ended[0] - began,
        peak_mib=told["peak_mib"],
        phases=_phases(work),
        rows=tuple(told["rows"]),
    )


def _phases(work: Path) -> Mapping[str, float]:
    """What the trainer says of its start; nothing of a bare one."""
    said = work / "termination-log"
    if not said.exists():
        return {}
    progress = Outcome.model_validate_json(said.read_text()).progress
    return progress.recovery_seconds if progress else {}
