"""Scripts that use the unmodified W&B SDK, each in a process of its own, forked from one that has imported it.

An import costs a second of CPU, a fork none. Run as a program this is the process that is forked from: its standard
input is a socket on which it is asked for scripts, and it ends with the process that asks.
"""

import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any

LARGEST = 100_000
SLOW = (
    *("multiprocessing.pool", "requests", "urllib.request", "wandb", "wandb.apis.public", "yaml"),
    *("wandb.apis._generated.get_default_entity", "wandb.sdk.artifacts._models.pagination"),
    *("wandb.sdk.artifacts._internal_artifact", "wandb.sdk.launch.inputs.internal"),
    *(
        f"wandb.sdk.artifacts._generated.{name}"
        for name in (
            *("artifact_by_id", "artifact_membership_by_name", "artifact_type", "fetch_artifact_manifest"),
            *("get_artifact_membership_file_urls", "input_types", "project_artifact_collection", "project_artifacts"),
            "update_artifact",
        )
    ),
)
"""What the SDK imports sooner or later."""


@dataclass(slots=True, kw_only=True)
class Client:
    """A process that runs a script; `told` brings its id and, when it has ended, its exit code."""

    pid: int
    stdout: IO[str]
    stderr: IO[str]
    told: IO[str]
    returncode: int | None = None

    def kill(self) -> None:
        """End it without notice."""
        os.kill(self.pid, signal.SIGKILL)

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait for the end; the rest of its standard output, and its standard error."""
        ended, _, _ = select.select([self.told], [], [], timeout)
        assert ended, "The script did not end."
        self.returncode = int(self.told.readline())
        self.stderr.seek(0)
        return self.stdout.read(), self.stderr.read()


def begun(script: str, environment: Mapping[str, str], folder: Path) -> Client:
    """Start a script in a folder, with this environment and no other."""
    (out, out_end), (told, told_end) = os.pipe(), os.pipe()
    errors = os.memfd_create("errors")
    asked = {"script": script, "environment": dict(environment), "folder": str(folder)}
    socket.send_fds(_server(), [json.dumps(asked).encode()], [out_end, errors, told_end])
    os.close(out_end)
    os.close(told_end)
    last_words = os.fdopen(told)
    return Client(pid=int(last_words.readline()), stdout=os.fdopen(out), stderr=os.fdopen(errors), told=last_words)


@functools.cache
def _server() -> socket.socket:
    """The socket to the process that is forked from, one for each process that runs tests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own = {"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir(), "OPENBLAS_NUM_THREADS": "1"}
    with theirs:
        subprocess.Popen([sys.executable, "-P", __file__], env=own, stdin=theirs.fileno())
    return ours


def asked_for() -> str:
    """Fork at every request; returns only in a forked process, with the script that it is to run."""
    channel = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, (*descriptors,), _, _ = socket.recv_fds(channel, LARGEST, 3)
        if not asked:
            sys.exit()
        if os.fork() == 0:
            channel.close()
            return become(json.loads(asked), *descriptors)
        for each in descriptors:
            os.close(each)


def become(asked: dict[str, Any], out: int, errors: int, told: int) -> str:
    """Fork once more, so that somebody waits for the script's end, and be what a new interpreter would be."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        os.close(out)
        os.write(told, f"{pid}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(BrokenPipeError):  # The test may be over.
            os.write(told, f"{code}\n".encode())
        os._exit(0)
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), out, errors)):
        os.dup2(descriptor, number)
    for each in (out, errors, told):
        os.close(each)
    own_media_folder()
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["-c"]
    sys.path[:0] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return str(asked["script"])


def own_media_folder() -> None:
    """Make anew the one thing that importing the SDK leaves on disk, so that no fork removes another's."""
    folder = importlib.import_module("wandb.sdk.data_types._private").MEDIA_TMP
    folder._finalizer.detach()
    folder.__init__("wandb-media")


if __name__ == "__main__":
    for name in SLOW:
        importlib.import_module(name)
    script = asked_for()
    program = sys.modules["__main__"] = ModuleType("__main__")
    exec(script, vars(program))  # noqa: S102 - As python -c does.
