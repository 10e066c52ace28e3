"""What was fetched from elsewhere, in this pod's own scratch: whole or absent, once for all its processes."""

import fcntl
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from finetune_trainer.contract import environment


def place(name: str) -> Path:
    """Where the files of a name are, or will be."""
    return _scratch() / hashlib.sha256(name.encode()).hexdigest()[:16]


def fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder of a name, which `fetch` fills where no process of this pod has done so yet."""
    folder = place(name)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            incoming = folder.with_suffix(".incoming")
            shutil.rmtree(incoming, ignore_errors=True)
            incoming.mkdir(parents=True)
            fetch(incoming)
            incoming.rename(folder)
    return folder


@functools.cache
def _scratch() -> Path:
    work = os.environ.get(environment.WORK_DIR)
    folder = Path(work) / "sources" if work else Path(tempfile.mkdtemp(prefix="finetune-sources-"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
