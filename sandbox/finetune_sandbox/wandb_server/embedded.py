"""The server inside another process, on a thread of its own: for tests and for `finetune run`."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from finetune_sandbox.wandb_server.faults import Fault, Faults
from finetune_sandbox.wandb_server.records import ArtifactRecord, Records, RunRecord
from finetune_sandbox.wandb_server.server import Settings, Surface, opened
from finetune_sandbox.wandb_server.store import Store

T = TypeVar("T")

API_KEY = "sandbox" * 6
"""A key that every server without a list of keys accepts."""


class WandbServer:
    """A W&B server over a state folder; start it again on the folder and it goes on where it was."""

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", port: int = 0, settings: Settings | None = None
    ) -> None:
        self.folder = folder
        self.port = port
        self._host = host
        self._settings = settings or Settings()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wandb-server", daemon=True)
        self._runner: web.AppRunner | None = None
        self._store: Store | None = None
        self._faults = Faults()

    def __enter__(self) -> Self:
        self._thread.start()
        self.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """What `WANDB_BASE_URL` must be."""
        return f"http://{self._host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """What an unmodified client needs to find the server."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": (self._settings.keys or (API_KEY,))[0]}

    def pause(self) -> None:
        """Go away: connections are cut, new ones refused."""
        self._call(self._close)

    def resume(self) -> None:
        """Come back at the same address."""
        self._call(self._open)

    def fail(self, fault: Fault) -> None:
        """Let trouble begin."""

        async def added() -> None:
            self._faults.add(fault)

        self._call(added)

    def heal(self) -> None:
        """End all trouble."""

        async def cleared() -> None:
            self._faults.clear()

        self._call(cleared)

    @property
    def requests(self) -> tuple[str, ...]:
        """The labels of all requests so far (see `faults`)."""

        async def copied() -> tuple[str, ...]:
            return tuple(self._faults.seen)

        return self._call(copied)

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

    def _call(self, act: Callable[[], Awaitable[T]]) -> T:
        async def called() -> T:
            return await act()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(timeout=30)

    async def _open(self) -> None:
        self._store = opened(self.folder)
        app = Surface(self._store, self._settings, self._faults).application()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        if self._runner and self._store:
            await self._runner.cleanup()
            self._store.close()
        self._runner = self._store = None
