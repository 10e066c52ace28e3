"""Files that are either whole or absent, whenever the power goes."""

import errno
import os
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
SIGNS_OF_FULL = ("no space left on device", "disk quota exceeded", "file write failed", "unexpected pos")
"""What safetensors and torch say of a disk that takes no more; they hide the error's number."""

NOT_A_MODEL = (
    "optimizer.pt",
    "scheduler.pt",
    "rng_state*",
    "global_step*",
    "training_args.bin",
    "scaler.pt",
    "optimizer.bin",
    "pytorch_model_fsdp.bin",
)
"""What the Trainer saves beside the model, by pattern: only a resumed training reads it."""


def is_full(problem: BaseException) -> bool:
    """Whether writing failed for want of space."""
    numbered = isinstance(problem, OSError) and problem.errno in FULL
    return numbered or any(sign in str(problem).lower() for sign in SIGNS_OF_FULL)


def files_in(folder: Path) -> dict[str, Path]:
    """All files of a folder by their names inside it, in a fixed order."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_whole(path: Path, content: str) -> None:
    """Replace a file at once: a reader sees the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(content)
    fresh.replace(path)


def sync_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
