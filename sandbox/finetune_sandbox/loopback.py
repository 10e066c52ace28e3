"""Runs an aiohttp application on this machine: on a thread inside another process, or as a process until a signal."""

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aiohttp import web

T = TypeVar("T")

PATIENCE = 0.05
"""How long requests under way may go on after the end, in seconds; aiohttp takes 0 for ever."""


class Loopback:
    """An application on a thread with a loop of its own; it can go away and come back at the same address."""

    def __init__(self, application: Callable[[], web.Application], *, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._application = application
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback", daemon=True)
        self._runner: web.AppRunner | None = None
        self._place = socket.socket()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Begin to answer; whatever keeps the application from it is raised, and leaves nothing running."""
        self._thread.start()
        try:
            self._take_place()
            self.open()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End for good."""
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._place.close()

    def _take_place(self) -> None:
        """Have the port until the end: bound and not listening, this refuses connections while the server is away.

        Nobody else gets it then, not even for the other end of a connection.
        """
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind((self.host, self.port))
        self.port = self._place.getsockname()[1]

    def open(self) -> None:
        """Listen, at the same port as before."""
        self.call(self._open())

    def close(self) -> None:
        """Cut all connections and refuse new ones."""
        self.call(self._close())

    def call(self, act: Coroutine[Any, Any, T]) -> T:
        """Run something on the application's own loop."""
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(timeout=60)

    async def _open(self) -> None:
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=PATIENCE)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port, reuse_address=True).start()

    async def _close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        self._runner = None


async def serve_until_signal(application: web.Application, *, host: str, port: int) -> None:
    """Answer until SIGTERM or SIGINT; the first line on stdout is the address."""
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=PATIENCE)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        sys.stdout.write(f"http://{host}:{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()
