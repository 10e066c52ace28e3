"""The folder in which the author's program leaves its checkpoints: which are complete, and a snapshot of one."""

import contextlib
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_trainer.program import COMPLETE
from finetune_trainer.recovery.moment import linked

TRAINER_STATE = "trainer_state.json"
"""What transformers' Trainer writes last."""
QUIET_SECONDS = 1.0
"""How long nothing may change in a folder that nobody has called complete: other ranks may still be writing."""
SECRETS = shutil.ignore_patterns("training_args.bin")
"""transformers' pickle of the arguments, with tokens in clear; resuming does not read it."""

Shape = tuple[tuple[str, int, int], ...]
"""The files of a folder with size and time of change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """How far the program says it is."""

    step: int
    total: int | None = None
    epoch: float | None = None
    loss: float | None = None


@dataclass(slots=True)
class ProgramFolder:
    """The folder, and what of it is done with."""

    path: Path
    done: int = 0
    """The step up to which checkpoints are published or passed over."""
    _last_seen: dict[Path, tuple[Shape, float]] = field(default_factory=dict)

    def newest(self, *, has_ended: bool) -> tuple[int, Path] | None:
        """The newest complete checkpoint that is not done with; after the program's end nothing changes any more."""
        found = sorted(((step_of(path), path) for path in self.path.glob("checkpoint-*")), reverse=True)
        fresh = [(step, path) for step, path in found if step > self.done]
        whole = [(step, path) for step, path in fresh if self._is_complete(path, has_ended=has_ended)]
        return whole[0] if whole else None

    def _is_complete(self, path: Path, *, has_ended: bool) -> bool:
        if (path / COMPLETE).exists():
            return True
        if trainer_state(path) is None:
            return False
        shape, now = shape_of(path), time.monotonic()
        before, since = self._last_seen.setdefault(path, (shape, now))
        if before != shape:
            self._last_seen[path] = (shape, now)
        return has_ended or (before == shape and now - since >= QUIET_SECONDS)

    def snapshot(self, path: Path, into: Path) -> bool:
        """Take a checkpoint as it is now; false when the program has removed it meanwhile."""
        shutil.rmtree(into, ignore_errors=True)
        try:
            shutil.copytree(path, into, copy_function=linked, ignore=SECRETS)
        except (FileNotFoundError, shutil.Error):
            return False
        return True


def step_of(path: Path) -> int:
    """The step in a checkpoint's name; -1 for a folder of another kind."""
    number = path.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def shape_of(path: Path) -> Shape:
    """The files of a folder as they are now."""
    shape: list[tuple[str, int, int]] = []
    with contextlib.suppress(FileNotFoundError):
        for one in sorted(path.rglob("*")):
            known = one.stat()
            shape.append((one.relative_to(path).as_posix(), known.st_size, known.st_mtime_ns))
    return tuple(shape)


def trainer_state(path: Path) -> dict[str, Any] | None:
    """What transformers' Trainer says of a checkpoint; none while it is not wholly written."""
    with contextlib.suppress(OSError, ValueError):
        state = json.loads((path / TRAINER_STATE).read_text())
        return state if isinstance(state, dict) else None
    return None


def word_of(path: Path) -> Word:
    """How far the program was when it wrote a checkpoint."""
    state = trainer_state(path) or {}
    losses = [row["loss"] for row in state.get("log_history", ()) if "loss" in row]
    return Word(
        step=step_of(path),
        total=state.get("max_steps"),
        epoch=state.get("epoch"),
        loss=losses[-1] if losses else None,
    )


def word_said(path: Path) -> Word | None:
    """What the program said by `program.progress`."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return Word(**json.loads(path.read_text()))
    return None
