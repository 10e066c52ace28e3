"""The trainer beside a bare `transformers.Trainer`: steps a second, start, memory, and what saving costs.

Both run at the same time, each with all that it starts on a core of its own, and change cores from turn to turn: what
else the machine does meets both. Uploads, W&B's process and the supervisor are paid for on the trainer's core.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from finetune_sandbox.wandb_server import WandbServer
from finetune_trainer.contract import environment
from finetune_trainer.contract.outcome import Outcome
from finetune_trainer.pod.ports import free_port

from bench.clocked import STEPS_FILE
from bench.figures import median, table

SETTLED = 20
"""Steps that are not counted: caches fill, allocators warm up."""
EVERY = 20
"""Steps between the checkpoints where their cost is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    steps: int
    times: int


FULL = Size(steps=420, times=6)
QUICK = Size(steps=120, times=2)


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

    @property
    def rate(self) -> float:
        """Steps a second."""
        return len(self.intervals) / sum(self.intervals)

    @property
    def stall_ms(self) -> float:
        """What a checkpoint adds to the interval that it falls into, where one is taken after every 20th step."""
        with_one = [took for step, took in enumerate(self.intervals, SETTLED + 1) if step % EVERY == 0]
        without = [took for step, took in enumerate(self.intervals, SETTLED + 1) if step % EVERY]
        return 1000 * (median(with_one) - median(without))


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Runs of one bench, each in a folder of its own."""

    folder: Path
    steps: int
    wandb: WandbServer

    def bare(self, name: str, core: int) -> Ran:
        """The stock Trainer."""
        work = self._work(name)
        command = ("bench.clocked", "-m", "bench.bare_trainer", self._config(work, "bare"), str(work))
        return self._ran(work, core, command, {})

    def without_uploads(self, name: str, core: int) -> Ran:
        """Our trainer with W&B off: recovery checkpoints are taken, and stay in the pod."""
        return self._supervised(name, core, {})

    def with_uploads(self, name: str, core: int) -> Ran:
        """Our trainer with its run and its checkpoints on a W&B server."""
        return self._supervised(name, core, self.wandb.environment())

    def saving_often(self, name: str, core: int) -> Ran:
        """The same with a checkpoint after every 20th step."""
        return self._supervised(name, core, self.wandb.environment(), {"everySteps": EVERY})

    def _supervised(
        self, name: str, core: int, variables: dict[str, str], checkpoint: dict[str, int] | None = None
    ) -> Ran:
        work = self._work(name)
        pod = {
            environment.WORK_DIR: str(work),
            environment.TERMINATION_LOG: str(work / "termination-log"),
            environment.TOKEN: name,
            environment.PROGRESS_PORT: str(free_port()),
            environment.POD_IP: "127.0.0.1",
        }
        return self._ran(work, core, ("bench.supervised", self._config(work, name, checkpoint)), pod | variables)

    def _work(self, name: str) -> Path:
        work = self.folder / name
        work.mkdir()
        return work

    def _config(self, work: Path, name: str, checkpoint: dict[str, int] | None = None) -> str:
        training = {
            "max_steps": self.steps,
            "per_device_train_batch_size": 16,
            "learning_rate": 1e-4,
            "logging_steps": 10,
        }
        config = {
            "job": {"name": name, "namespace": "bench", "uid": name},
            "runId": name,
            "task": "text-classification",
            "model": {"uri": f"file://{self.folder / 'model'}"},
            "dataset": {
                "uri": f"file://{self.folder / 'data.csv'}",
                "columns": {"text": ["text"], "label": "label"},
            },
            "checkpoint": checkpoint or {},
            "training": training,
        }
        (work / "run.json").write_text(json.dumps(config))
        return str(work / "run.json")

    def _ran(self, work: Path, core: int, command: tuple[str, ...], variables: dict[str, str]) -> Ran:
        """Run it to its end, on one core."""
        steps = work / "steps.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "FINETUNE_"))}
        pinned = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        began = time.monotonic()
        with (work / "log").open("wb") as log:
            subprocess.run(
                ("taskset", "--cpu-list", str(core), sys.executable, "-m", *command),
                env=kept | pinned | variables | {STEPS_FILE: str(steps)},
                stdout=log,
                stderr=log,
                check=False,
            )
        if not steps.exists():
            raise RuntimeError((work / "log").read_text()[-3000:])
        told = json.loads(steps.read_text())
        ended: list[float] = told["ended"]
        intervals = tuple(after - before for before, after in pairwise(ended[SETTLED:]))
        return Ran(intervals=intervals, start=ended[0] - began, peak_mib=told["peak_mib"], phases=phases(work))


def phases(work: Path) -> Mapping[str, float]:
    """What the trainer says of its start; nothing of a bare one."""
    said = work / "termination-log"
    if not said.exists():
        return {}
    progress = Outcome.model_validate_json(said.read_text()).progress
    return progress.recovery_seconds if progress else {}


def measured(folder: Path, size: Size) -> dict[str, Any]:
    """All figures of this part."""
    subprocess.run((sys.executable, "-m", "bench.invented", str(folder)), check=True, capture_output=True)
    (folder / "wandb").mkdir()
    with WandbServer(folder / "wandb") as wandb:
        runs = Runs(folder=folder, steps=size.steps, wandb=wandb)
        contenders: dict[str, Callable[[str, int], Ran]] = {
            "ours, no uploads": runs.without_uploads,
            "ours, uploads": runs.with_uploads,
            f"ours, saving every {EVERY} steps": runs.saving_often,
        }
        pairs = {name: beside(runs, one, size.times) for name, one in contenders.items()}
    bare = [floor for found in pairs.values() for _, floor in found]
    return {"bare Trainer": figures([(one, one) for one in bare])} | {
        name: figures(found) for name, found in pairs.items()
    }


def beside(runs: Runs, contender: Callable[[str, int], Ran], times: int) -> list[tuple[Ran, Ran]]:
    """The contender and the stock Trainer, so many times at once; they change cores each time."""
    found = []
    with ThreadPoolExecutor(2) as both:
        for turn in range(times):
            core = turn % 2
            name = f"{contender.__name__}-{turn}"
            ours, floor = both.submit(contender, name, core), both.submit(runs.bare, f"{name}-floor", 1 - core)
            found.append((ours.result(), floor.result()))
    return found


def figures(pairs: Sequence[tuple[Ran, Ran]]) -> dict[str, Any]:
    """The figures of one contender, beside the floor's runs."""
    ran = [one for one, _ in pairs]
    found: dict[str, Any] = {
        "steps_per_second": round(median(each.rate for each in ran), 2),
        "ratio": round(fmean(one.rate / floor.rate for one, floor in pairs), 3),
        "ratios": [round(one.rate / floor.rate, 3) for one, floor in pairs],
        "step_ms": round(1000 * median(median(each.intervals) for each in ran), 2),
        "first_step_s": round(median(each.start for each in ran), 2),
        "peak_mib": round(median(each.peak_mib for each in ran)),
    }
    if named := ran[0].phases:
        found["phases_s"] = {name: round(median(each.phases[name] for each in ran), 2) for name in named}
        found["stall_ms"] = round(median(each.stall_ms for each in ran), 1)
    return found


def shown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as tables."""
    head = ("by", "steps/s", "of bare", "ms a step", "first step s", "peak MiB")
    keys = ("steps_per_second", "ratio", "step_ms", "first_step_s", "peak_mib")
    rows = [(name, *(each[key] for key in keys)) for name, each in found.items()]
    often = found[f"ours, saving every {EVERY} steps"]
    starts = [*found["ours, uploads"]["phases_s"].items()]
    return "\n".join(
        [
            table("training", head, rows),
            table("start", ("phase", "s"), starts),
            f"A checkpoint adds {often['stall_ms']} ms to its step.",
        ]
    )
