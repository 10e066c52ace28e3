"""The part of a checkpoint that the stock Trainer forgets: loss accumulators, what was put off, the best model.

`Moment` is what one rank knows beside its tensors; `Due` is what a stop has put off and the next attempt does first.
"""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from finetune_trainer.files import NOT_A_MODEL

ACCUMULATORS = "accumulators_{rank}.json"
BEST = "best"
MOST_STEPS_BETWEEN = 500
LEAST_STEPS_BETWEEN = 5
OVERHEAD = 0.005
"""The share of the time that saving may take when the interval is ours to choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Events of one step or epoch end that a stop put off, in the Trainer's own words."""

    evaluate: bool
    save: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The Trainer's loss accumulators on one rank, and where the loop stands."""

    tr_loss: float
    total_loss: float
    last_logged: int
    initial_step: int
    initial_tokens: int
    due: tuple[Due, ...] = ()
    has_ended: bool = False
    """Whether training had stopped by its own rules, for example early stopping."""
    extra: dict[str, Any] | None = None
    """What the task's loss or metrics keep between batches."""

    def write(self, folder: Path, rank: int) -> None:
        """Write it beside the rank's other state; a float goes through JSON unchanged."""
        (folder / ACCUMULATORS.format(rank=rank)).write_text(json.dumps(asdict(self)))


def moment(folder: Path, rank: int, world_size: int) -> Moment:
    """What a rank wrote, or what every rank goes on with when another number of them wrote the checkpoint."""
    known = [_read(folder, one) for one in range(writers(folder))]
    if len(known) == world_size:
        return known[rank]
    # The loss is logged as the mean over the ranks, so that each may go on with the mean.
    return replace(known[0], tr_loss=fmean(one.tr_loss for one in known))


def writers(folder: Path) -> int:
    """How many ranks wrote a checkpoint."""
    return len(list(folder.glob(ACCUMULATORS.format(rank="*"))))


def _read(folder: Path, rank: int) -> Moment:
    raw = json.loads((folder / ACCUMULATORS.format(rank=rank)).read_text())
    return Moment(**{**raw, "due": tuple(Due(**one) for one in raw["due"])})


def keep_best(best: str | None, folder: Path) -> None:
    """Take the best model's weights along, for the pod that holds them may go."""
    if best is not None and Path(best).is_dir():
        ignore = shutil.ignore_patterns(*NOT_A_MODEL)
        shutil.copytree(best, folder / BEST / Path(best).name, ignore=ignore, copy_function=linked)


def give_back_best(folder: Path, output_dir: Path) -> None:
    """Put the best model where the Trainer looks for it, in this pod's output, and say so in its state."""
    for kept in (folder / BEST).glob("checkpoint-*"):
        shutil.copytree(kept, output_dir / kept.name, dirs_exist_ok=True)
        path = folder / "trainer_state.json"
        state = json.loads(path.read_text())
        state["best_model_checkpoint"] = str(output_dir / kept.name)
        path.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")


def keep_precision(optimizer: Any, folder: Path) -> None:
    """Give an optimizer its state as it was saved; loading has rounded all of it to the type of the parameters."""
    import torch

    ours = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if all(parameter.dtype == torch.float32 for parameter in ours):
        return
    saved = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True, mmap=True)
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    for number, parameter in zip(numbers, ours, strict=True):
        state = optimizer.state.get(parameter, {})
        for name, value in saved["state"].get(number, {}).items():
            if torch.is_tensor(value) and torch.is_tensor(state.get(name)) and value.dtype != state[name].dtype:
                state[name] = value.to(state[name].device, copy=True)


def linked(source: str, target: str) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


@dataclass(slots=True)
class Cadence:
    """When a recovery checkpoint is due. It depends on the clock only where the job leaves the choice to us."""

    every_steps: int | None
    _last: int = 0
    _interval: int = LEAST_STEPS_BETWEEN

    def restart(self, step: int) -> None:
        """Count from a step."""
        self._last = step

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is to be taken after this step."""
        if self.every_steps is not None:
            return step % self.every_steps == 0
        return step - self._last >= self._interval

    def took(self, step: int, save_seconds: float, step_seconds: float) -> None:
        """Choose the next interval so that saving stays a small share of the time."""
        self._last = step
        wanted = save_seconds / (OVERHEAD * max(step_seconds, 1e-6))
        self._interval = int(min(max(wanted, LEAST_STEPS_BETWEEN), MOST_STEPS_BETWEEN))
