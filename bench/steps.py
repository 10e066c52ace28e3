"""The trainer beside a bare `transformers.Trainer`: steps a second, start, memory, and what saving costs.

Both run at the same time, each with all that it starts on a core of its own, and change cores from turn to turn: what
else the machine does meets both. Uploads, W&B's process and the supervisor are paid for on the trainer's core.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from finetune_sandbox.wandb_server import WandbServer

from bench import packing
from bench.figures import median, table
from bench.trainings import SETTLED, Ran, bare, invent, supervised

EVERY = 20
"""Steps between the checkpoints where their cost is measured."""
OFTEN = f"ours, saving every {EVERY} steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    steps: int
    times: int


FULL = Size(steps=420, times=6)
QUICK = Size(steps=120, times=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Runs of one bench, each in a folder of its own."""

    folder: Path
    steps: int
    variables: Mapping[str, str]
    """What leads to the W&B server."""

    def bare(self, name: str, core: int) -> Ran:
        """The stock Trainer."""
        return bare(self.folder / name, self._config(), core)

    def without_uploads(self, name: str, core: int) -> Ran:
        """Our trainer with W&B off: recovery checkpoints are taken, and stay in the pod."""
        return supervised(self.folder / name, self._config(), core, {})

    def with_uploads(self, name: str, core: int) -> Ran:
        """Our trainer with its run and its checkpoints on a W&B server."""
        return supervised(self.folder / name, self._config(), core, self.variables)

    def saving_often(self, name: str, core: int) -> Ran:
        """The same with a checkpoint after every 20th step."""
        config = self._config() | {"checkpoint": {"everySteps": EVERY}}
        return supervised(self.folder / name, config, core, self.variables)

    def _config(self) -> dict[str, Any]:
        return {
            "task": "text-classification",
            "model": {"uri": f"file://{self.folder / 'model'}"},
            "dataset": {
                "uri": f"file://{self.folder / 'data.csv'}",
                "columns": {"text": ["text"], "label": "label"},
            },
            "training": {
                "max_steps": self.steps,
                "per_device_train_batch_size": 16,
                "learning_rate": 1e-4,
                "logging_steps": 10,
            },
        }


def stall_ms(ran: Ran) -> float:
    """What a checkpoint adds to the interval that it falls into, where one is taken after every 20th step."""
    with_one = [took for step, took in enumerate(ran.intervals, SETTLED + 1) if step % EVERY == 0]
    without = [took for step, took in enumerate(ran.intervals, SETTLED + 1) if step % EVERY]
    return 1000 * (median(with_one) - median(without))


def measured(folder: Path, size: Size) -> dict[str, Any]:
    """All figures of this part."""
    invent(folder)
    (folder / "wandb").mkdir()
    with WandbServer(folder / "wandb") as wandb:
        runs = Runs(folder=folder, steps=size.steps, variables=wandb.environment())
        contenders: dict[str, Callable[[str, int], Ran]] = {
            "ours, no uploads": runs.without_uploads,
            "ours, uploads": runs.with_uploads,
            OFTEN: runs.saving_often,
        }
        pairs = {name: beside(runs, one, size.times) for name, one in contenders.items()}
    floors = [floor for found in pairs.values() for _, floor in found]
    found = {"bare Trainer": figures([(one, one) for one in floors])}
    found |= {name: figures(each) for name, each in pairs.items()}
    found[OFTEN]["stall_ms"] = round(median(stall_ms(each) for each, _ in pairs[OFTEN]), 1)
    return found | {"packing": packing.measured(folder, size.times)}


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
    return found


def shown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as tables."""
    head = ("by", "steps/s", "of bare", "ms a step", "first step s", "peak MiB")
    keys = ("steps_per_second", "ratio", "step_ms", "first_step_s", "peak_mib")
    rows = [(name, *(each[key] for key in keys)) for name, each in found.items() if "step_ms" in each]
    return "\n".join(
        [
            table("training", head, rows),
            table("start", ("phase", "s"), [*found["ours, uploads"]["phases_s"].items()]),
            packing.shown(found["packing"]),
            f"A checkpoint adds {found[OFTEN]['stall_ms']} ms to its step.",
        ]
    )
