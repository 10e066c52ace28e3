"""Programs that never outlive whoever started them."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> Callable[[], None]:
    """What a forked child calls before exec, so that the kernel kills it when its parent's thread ends.

    It is the thread that forks which counts: start long-lived programs from the main thread.
    """

    def ask_the_kernel() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It died before we could ask.
            os._exit(1)

    return ask_the_kernel


def start(
    arguments: tuple[str, ...], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with its output in a file."""
    with log.open("ab") as output:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 (one system call; there is no other way)
        )


def stop(process: subprocess.Popen[bytes], grace_seconds: float = 5) -> None:
    """SIGTERM, SIGKILL to its whole session after the grace, and wait until it is gone."""
    process.terminate()
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
