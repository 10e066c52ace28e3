"""A network namespace for the calling thread and all that it starts from then on; it vanishes with the last of them.

The test, too, is inside: 127.0.0.1 and fixed ports are its own, pods and tests see the same addresses, and nothing
leads out.
"""

import ctypes
import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class PrivateNetwork:
    """Enter it in the main thread, before the threads that shall be inside."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses
        self._outside = -1
        self._inode = 0

    def __enter__(self) -> Self:
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _succeed(_LIBC.unshare(_CLONE_NEWNET))
        self._inode = Path("/proc/thread-self/ns/net").stat().st_ino
        ip("link", "set", "lo", "up")
        for address in self._addresses:
            ip("address", "add", f"{address}/32", "dev", "lo")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_processes()
        _succeed(_LIBC.setns(self._outside, _CLONE_NEWNET))
        os.close(self._outside)

    def end_processes(self) -> None:
        """Kill what runs inside and what came from there: shims, and containers with networks of their own."""
        while left := self.processes():
            for pid in left:
                _kill(pid)
            for pid in left:
                _reap(pid)

    def processes(self) -> frozenset[int]:
        """Everything inside and its descendants, but not this process."""
        parents = {pid: parent for pid in _pids() if (parent := _parent(pid)) is not None}
        inside = {pid for pid in parents if _network(pid) == self._inode} - {os.getpid()}
        while more := {pid for pid, parent in parents.items() if parent in inside} - inside:
            inside |= more
        return frozenset(inside)


def ip(*arguments: str) -> None:
    """The `ip` command; raises with its words."""
    done = subprocess.run(("ip", *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _succeed(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: a network namespace needs root")


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int | None:
    """The parent; None for what is over."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)


def _network(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    """Wait for our own children; others are their parents' business."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
