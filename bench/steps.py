"""Steps a second of the trainer beside a bare `transformers.Trainer`, with and without uploads, runs in turn."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_sandbox.wandb_server import WandbServer
from finetune_trainer.contract import environment
from finetune_trainer.pod.ports import free_port

from bench.clocked import STEPS_FILE
from bench.figures import median, table

SETTLED = 20
"""Steps that are not counted: caches fill, allocators warm up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    steps: int
    times: int


FULL = Size(steps=420, times=5)
QUICK = Size(steps=120, times=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Runs of one bench, each in a folder of its own."""

    folder: Path
    steps: int
    wandb: WandbServer

    def bare(self, name: str) -> float:
        """The stock Trainer: steps a second."""
        work = self._work(name)
        return self._ran(work, ("bench.clocked", "-m", "bench.bare_trainer", self._config(work, "bare"), str(work)), {})

    def without_uploads(self, name: str) -> float:
        """Our trainer with W&B off: recovery checkpoints are taken, and stay in the pod."""
        return self._supervised(name, {})

    def with_uploads(self, name: str) -> float:
        """Our trainer with its run and its checkpoints on a W&B server."""
        return self._supervised(name, self.wandb.environment())

    def _supervised(self, name: str, variables: dict[str, str]) -> float:
        work = self._work(name)
        pod = {
            environment.WORK_DIR: str(work),
            environment.TERMINATION_LOG: str(work / "termination-log"),
            environment.TOKEN: name,
            environment.PROGRESS_PORT: str(free_port()),
            environment.POD_IP: "127.0.0.1",
        }
        return self._ran(work, ("bench.supervised", self._config(work, name)), pod | variables)

    def _work(self, name: str) -> Path:
        work = self.folder / name
        work.mkdir()
        return work

    def _config(self, work: Path, name: str) -> str:
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
            "training": training,
        }
        (work / "run.json").write_text(json.dumps(config))
        return str(work / "run.json")

    def _ran(self, work: Path, command: tuple[str, ...], variables: dict[str, str]) -> float:
        """Run it to its end; steps a second, once it has settled."""
        steps = work / "steps.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "FINETUNE_"))}
        pinned = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with (work / "log").open("wb") as log:
            subprocess.run(
                (sys.executable, "-m", *command),
                env=kept | pinned | variables | {STEPS_FILE: str(steps)},
                stdout=log,
                stderr=log,
                check=False,
            )
        if not steps.exists():
            raise RuntimeError((work / "log").read_text()[-3000:])
        ended = json.loads(steps.read_text())
        return float((len(ended) - 1 - SETTLED) / (ended[-1] - ended[SETTLED]))


def measured(folder: Path, size: Size) -> dict[str, Any]:
    """All figures of this part."""
    subprocess.run((sys.executable, "-m", "bench.invented", str(folder)), check=True, capture_output=True)
    (folder / "wandb").mkdir()
    with WandbServer(folder / "wandb") as wandb:
        runs = Runs(folder=folder, steps=size.steps, wandb=wandb)
        contenders: dict[str, Callable[[str], float]] = {
            "bare Trainer": runs.bare,
            "ours, no uploads": runs.without_uploads,
            "ours, uploads": runs.with_uploads,
        }
        found: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(size.times):
            for number, (name, contender) in enumerate(contenders.items()):
                found[name].append(contender(f"run-{turn}-{number}"))
    floor = found["bare Trainer"]
    return {
        name: {
            "steps_per_second": round(median(rates), 2),
            # Of each turn, since what else the machine does changes from turn to turn.
            "ratio": round(median(rate / bare for rate, bare in zip(rates, floor, strict=True)), 3),
            "all": [round(rate, 2) for rate in rates],
        }
        for name, rates in found.items()
    }


def shown(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    rows = [(name, each["steps_per_second"], each["ratio"], len(each["all"])) for name, each in figures.items()]
    return table("training, steps a second", ("by", "steps/s", "of bare", "runs"), rows)
