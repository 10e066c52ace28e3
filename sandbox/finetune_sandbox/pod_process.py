"""A container as a process of this machine, with everything that it starts."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from finetune_operator.cluster.port import Manifest

from finetune_sandbox.pod_layout import Layout, expanded
from finetune_sandbox.processes import die_with_parent

MARK = "FINETUNE_SANDBOX_POD"
"""The variable by which all processes of a pod are known, wherever they have gone."""

TRAINER = ("python", "-m", "finetune_trainer")
"""How a pod of ours starts the trainer."""

FROM_THE_HOST = (
    "LANG",
    "LD_LIBRARY_PATH",
    "CUDA_DEVICE_ORDER",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)
"""What an image would bring along."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
NO_PROXY = ("NO_PROXY", "no_proxy")
LOOPBACK = "localhost,127.0.0.1,127.0.0.0/8"


class CannotStart(Exception):
    """The program is not there; the message is the runtime's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run and where."""

    uid: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    log: Path


def command_line(
    pod: Manifest, entrypoint: tuple[str, ...], environment: dict[str, str], layout: Layout
) -> tuple[str, ...]:
    """The container's command and arguments; `python` is this Python, and the trainer what the node has for it."""
    container = pod["spec"]["containers"][0]
    said = (*(container.get("command") or TRAINER), *(container.get("args") or ()))
    program, *arguments = (layout.rewritten(expanded(each, environment)) for each in said)
    if said[: len(TRAINER)] == TRAINER:
        return (*entrypoint, *arguments[len(TRAINER) - 1 :])
    return (sys.executable if program in {"python", "python3"} else program, *arguments)


def surroundings(uid: str, root: Path, temporary: Path) -> dict[str, str]:
    """The variables that every container has."""
    scripts = Path(sys.executable).parent
    return {
        **{name: os.environ[name] for name in FROM_THE_HOST if name in os.environ},
        **_proxies(),
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": str(root),
        "TMPDIR": str(temporary),
        MARK: uid,
    }


def _proxies() -> dict[str, str]:
    """This user's way out; the servers of a local run are reached without it."""
    said = {name: os.environ[name] for name in PROXIES if os.environ.get(name)}
    if not said:
        return {}
    direct = [os.environ[name] for name in NO_PROXY if os.environ.get(name)]
    return said | dict.fromkeys(NO_PROXY, ",".join((*direct[:1], LOOPBACK)))


class PodProcess:
    """A running container."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process) -> None:
        self._program = program
        self._process = process
        self.ended = asyncio.ensure_future(process.wait())

    @classmethod
    async def started(cls, program: Program) -> "PodProcess":
        """Start the program. Raises `CannotStart`."""
        try:
            with program.log.open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *program.arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=program.environment,
                    cwd=program.folder,
                    start_new_session=True,
                    preexec_fn=die_with_parent(os.getpid()),
                )
        except OSError as error:
            raise CannotStart(f'exec: "{program.arguments[0]}": {error.strerror}') from error
        return cls(program, process)

    def terminate(self) -> None:
        """SIGTERM to the main process, as a container runtime does."""
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """A signal to the main process."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to every process of the pod, also those in sessions of their own."""
        while found := processes_marked(self._program.uid):
            for process in found:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


def processes_marked(uid: str) -> tuple[int, ...]:
    """Living processes that carry the pod's mark; a zombie has no environment any more."""
    mark = f"{MARK}={uid}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):  # It has just ended, or is somebody else's.
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return tuple(found)
