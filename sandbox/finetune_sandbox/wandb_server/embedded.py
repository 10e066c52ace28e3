"""The server inside another process, on a thread of its own: for tests and for `finetune run`."""

from pathlib import Path
from types import TracebackType
from typing import Self

from finetune_sandbox.loopback import Loopback
from finetune_sandbox.wandb_server.faults import Fault, Faults
from finetune_sandbox.wandb_server.records import ArtifactRecord, Records, RunRecord
from finetune_sandbox.wandb_server.server import Settings, Surface

API_KEY = "sandbox" * 6
"""A key that every server without a list of keys accepts."""


class WandbServer:
    """A W&B server over a state folder; start it again on the folder and it goes on where it was."""

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", port: int = 0, settings: Settings | None = None
    ) -> None:
        self.folder = folder
        self._settings = settings or Settings()
        self._faults = Faults()
        surface = Surface(folder, self._settings, self._faults)
        self._loopback = Loopback(surface.application, host=host, port=port)

    def __enter__(self) -> Self:
        self._loopback.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loopback.stop()

    @property
    def url(self) -> str:
        """What `WANDB_BASE_URL` must be."""
        return self._loopback.url

    @property
    def port(self) -> int:
        """Where it listens; the same after a pause."""
        return self._loopback.port

    def environment(self) -> dict[str, str]:
        """What an unmodified client needs to find the server."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": (self._settings.keys or (API_KEY,))[0]}

    def pause(self) -> None:
        """Go away: connections are cut, new ones refused."""
        self._loopback.close()

    def resume(self) -> None:
        """Come back at the same address."""
        self._loopback.open()

    def fail(self, fault: Fault) -> None:
        """Let trouble begin."""

        async def added() -> None:
            self._faults.add(fault)

        self._loopback.call(added())

    def heal(self) -> None:
        """End all trouble."""

        async def cleared() -> None:
            self._faults.clear()

        self._loopback.call(cleared())

    @property
    def requests(self) -> tuple[str, ...]:
        """The labels of all requests so far (see `faults`)."""

        async def copied() -> tuple[str, ...]:
            return tuple(self._faults.seen)

        return self._loopback.call(copied())

    @property
    def records(self) -> Records:
        """What has been recorded."""
        return Records(self.folder, heartbeat_timeout=self._settings.heartbeat_timeout)

    def runs(self, project: str | None = None) -> tuple[RunRecord, ...]:
        """Every run, oldest first."""
        return self.records.runs(project)

    def run(self, name: str, project: str | None = None) -> RunRecord:
        """The run of that id."""
        return self.records.run(name, project)

    def artifacts(self, collection: str) -> tuple[ArtifactRecord, ...]:
        """The versions in a collection, oldest first; pending ones last."""
        return self.records.artifacts(collection)
