"""For a program of one's own under `spec.program`: where to resume, when to stop, how far it is. Stdlib only.

Outside of a job every function still works: there is nothing to resume from, nobody asks to stop, nobody listens.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from finetune_trainer.contract import environment
from finetune_trainer.files import write_whole

COMPLETE = "finetune-complete"
"""The file that a folder handed over by `checkpoint` holds."""


def resume_from() -> Path | None:
    """The folder of the checkpoint to go on from, verified; None at a beginning."""
    folder = os.environ.get(environment.RESUME_FROM)
    return Path(folder) if folder else None


def should_stop() -> bool:
    """Whether the pod is about to go: save, call `checkpoint`, and end with any exit code but 0.

    A collective when torch.distributed is initialised: call it on every rank at the same step. From the first call on
    SIGTERM is no longer passed to the program, which hears it here.
    """
    work = _work_dir()
    if work is None:
        return False
    if not (work / "program" / "listens").exists():
        write_whole(work / "program" / "listens", "")
    return _any_rank((work / "stop-requested").exists())


def progress(step: int, total: int | None = None, *, loss: float | None = None) -> None:
    """Say how far it is, for the job's status; only rank 0's word counts. After the first, silence means a hang."""
    work = _work_dir()
    if work is not None and _is_first():
        word = {"step": step, "total": total, "loss": loss}
        write_whole(work / "program" / "progress.json", json.dumps(word))


def checkpoint(step: int, folder: Path | str) -> None:
    """Hand a folder over, with everything that resuming needs, written by all ranks; rank 0 moves it away."""
    place = os.environ.get(environment.PROGRAM_CHECKPOINTS)
    if place is None or not _is_first():
        return
    target = Path(place) / f"checkpoint-{step}"
    if target != Path(folder):
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(folder, target)
    (target / COMPLETE).touch()


def _work_dir() -> Path | None:
    work = os.environ.get(environment.WORK_DIR)
    return Path(work) if work else None


def _is_first() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _any_rank(wish: bool) -> bool:
    """Whether it holds on any rank."""
    torch = sys.modules.get("torch")
    if torch is None or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return wish
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    shared = torch.tensor(int(wish), device=device)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    return bool(shared.item())
