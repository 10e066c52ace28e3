"""The author's program as a child: its command, its environment, its end and the last thing it said."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from finetune_trainer.contract import environment
from finetune_trainer.contract.program import Program
from finetune_trainer.errors import ConfigurationError

REFERENCE = re.compile(r"\$?\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
NOISE = re.compile(r"wandb:|.*\d+%\|")
"""What libraries print after the traceback, which is what its author wants to read: farewells and progress bars."""
PIECE = 1 << 14
"""How much of what the program writes to stderr is kept."""
PIPE_SECONDS = 2.0
"""How long the last lines are waited for; a grandchild may hold the pipe open."""


def command_line(program: Program, env: Mapping[str, str]) -> tuple[str, ...]:
    """The command with its references replaced, without arguments that name a checkpoint that is not there."""
    absent = f"$({environment.RESUME_FROM})"
    known = [one for one in (*program.command, *program.args) if environment.RESUME_FROM in env or absent not in one]
    return tuple(expanded(one, env) for one in known)


def expanded(text: str, env: Mapping[str, str]) -> str:
    """The text with $(NAME) replaced, as Kubernetes does; $$(NAME) stays $(NAME), an unknown name stays as it is."""

    def value(found: re.Match[str]) -> str:
        return found[0][1:] if found[0].startswith("$$") else env.get(found[1], found[0])

    return REFERENCE.sub(value, text)


class ProgramProcess:
    """The running program, a child of this process that ends with it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        if shutil.which(command[0], path=env.get("PATH")) is None:
            raise ConfigurationError(
                "ProgramNotFound",
                f"program.command: {command[0]} is not in the job's image, or is not executable. Correct it, or name "
                "an image that has it in spec.image.",
            )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "finetune_trainer.process.leash", str(os.getpid()), *command],
            env=env,
            cwd=folder,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._tail = b""
        assert self._process.stderr is not None  # noqa: S101 - It was asked for.
        self._reader = threading.Thread(target=self._pass_on, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    def _pass_on(self, pipe: IO[bytes]) -> None:
        while piece := os.read(pipe.fileno(), PIECE):
            with contextlib.suppress(OSError):
                os.write(2, piece)
            self._tail = (self._tail + piece)[-PIECE:]

    def ended(self, seconds: float) -> int | None:
        """The exit code, if the program ends within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(seconds)
            self.kill()  # Whatever it has left behind.
            self._reader.join(PIPE_SECONDS)
            return code
        return None

    def ask_to_end(self, number: signal.Signals) -> None:
        """Send a signal as a kubelet does: to the first process alone."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it and all of its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def last_line(self) -> str:
        """The last line that it wrote to stderr."""
        lines = (one.strip() for one in reversed(self._tail.decode(errors="replace").splitlines()))
        return next((one for one in lines if one and not NOISE.match(one)), "")
