"""What Linux does for a family of processes: children end with their parent, orphans come to it. Stdlib only."""

import ctypes
import os
import signal
import sys

_LIBC = ctypes.CDLL(None, use_errno=True)
_DEATH_SIGNAL = 1
_CHILD_SUBREAPER = 36


def end_with_parent(parent: int) -> None:
    """Be killed when the parent ends, however it ends; also when it has ended already."""
    _LIBC.prctl(_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every orphan below this process, as PID 1 is by birth."""
    _LIBC.prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    # `python -m finetune_trainer.process.leash PARENT COMMAND...`: a fork of a process with threads may run no Python.
    end_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - The program is what we are asked to become.
