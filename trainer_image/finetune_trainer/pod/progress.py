"""The trainer's word while it runs: rank 0 writes it whole, the supervisor serves it."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_trainer.contract.environment import PROGRESS_PATH
from finetune_trainer.contract.outcome import Progress
from finetune_trainer.files import write_whole
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.redaction import redacted

BETWEEN_STEPS = 0.25
"""Seconds between two writes that only tell of steps: replacing a file takes longer than a fast step may wait."""
START_PATIENCE = 4 * 3600.0
"""Seconds that restoring, preparing data and building the model may take together; a dead mount is still found."""
END_PATIENCE = 24 * 3600.0
"""Seconds that publishing at the end may take; each of its parts has a patience of its own."""


class ProgressBoard:
    """Rank 0's progress, written when something in it changes. Other ranks have one too, and write nothing."""

    def __init__(self, here: Surroundings, *, writes: bool) -> None:
        self._path = here.progress_file
        self._writes = writes
        self._lock = threading.Lock()
        self._written = -BETWEEN_STEPS
        self.progress = Progress(attempt=here.attempt, token=here.token, observed_at=datetime.now(UTC))

    def tell(self, **changes: Any) -> None:
        """Change fields of the progress and write it."""
        with self._lock:
            self._change(changes)
            self._write()

    def tell_step(self, **changes: Any) -> None:
        """Change fields after a step; written a few times a second, and with whatever else is told."""
        with self._lock:
            self._change(changes)
            if time.monotonic() - self._written >= BETWEEN_STEPS:
                self._write()

    def _change(self, changes: Mapping[str, Any]) -> None:
        self.progress = self.progress.model_copy(update={**changes, "observed_at": datetime.now(UTC)})

    def _write(self) -> None:
        if self._writes:
            write_whole(self._path, redacted(self.progress.model_dump_json()))
        self._written = time.monotonic()

    @property
    def resumed_at(self) -> int:
        """The step that this attempt went on from."""
        return self.progress.resume.from_step if self.progress.resume else 0

    def phase_took(self, phase: str, seconds: float) -> None:
        """Note how long a phase of the start took."""
        self.tell(recovery_seconds={**self.progress.recovery_seconds, phase: round(seconds, 3)})


class Heartbeat:
    """A rank's sign of life: a file whose time its supervisor reads."""

    def __init__(self, here: Surroundings, rank: int, every: float = 10.0) -> None:
        self._path = here.ranks / f"{rank}.heartbeat"
        self._every = every
        """Seconds between two beats outside of steps."""
        self._has_steps = threading.Event()

    def beat(self) -> None:
        """Say that this rank is alive; with each step, so it costs microseconds."""
        self._has_steps.set()
        self._touch()

    def go_on(self, patience: float) -> None:
        """Beat from a thread until the next `beat`, during work without steps; at most for `patience` seconds."""
        self._has_steps.set()
        self._has_steps = threading.Event()
        until = time.monotonic() + patience
        threading.Thread(target=self._go_on, args=(self._has_steps, until), name="heartbeat", daemon=True).start()

    def _go_on(self, has_steps: threading.Event, until: float) -> None:
        while time.monotonic() < until and not has_steps.is_set():
            self._touch()
            has_steps.wait(self._every)

    def _touch(self) -> None:
        try:
            self._path.touch()
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()


def last_beats(here: Surroundings) -> dict[str, float]:
    """When each rank of this node last gave a sign, by the rank's name."""
    return {path.name.split(".")[0]: path.stat().st_mtime for path in here.ranks.glob("*.heartbeat")}


def last_progress(path: Path) -> Progress | None:
    """What rank 0 wrote last; nothing when it never did."""
    with contextlib.suppress(FileNotFoundError, ValidationError):
        return Progress.model_validate_json(path.read_text())
    return None


def progress_server(address: str, port: int, current: Callable[[], Progress]) -> ThreadingHTTPServer:
    """Serve /progress, read-only, from a thread; the caller shuts it down."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != PROGRESS_PATH:
                self.send_error(404)
                return
            body = current().model_dump_json().encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - The standard library's name.
            """Requests are no news."""

    server = ThreadingHTTPServer((address, port), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
    return server
