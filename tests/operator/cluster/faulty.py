"""A proxy before a real API server that can do what networks and API servers do on bad days."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from finetune_sandbox.control_plane import ControlPlane

HOP_BY_HOP = {"host", "content-length", "transfer-encoding", "connection"}
NO_LIMIT = aiohttp.ClientTimeout(total=None)

Matches = Callable[[web.Request], bool]
Forward = Callable[[], Awaitable[web.StreamResponse]]
Deed = Callable[[web.Request, Forward], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Fault:
    """What is done to the requests that match, so many times; for ever when that is None."""

    matches: Matches
    deed: Deed
    times: int | None = None
    met: asyncio.Event = field(default_factory=asyncio.Event)


def request(method: str, part: str = "", *, watch: bool = False) -> Matches:
    """Requests with this method and this part of a path."""
    return lambda seen: seen.method == method and part in seen.path and ("watch" in seen.query) == watch


def answering(status: int, reason: str, message: str = "injected") -> Deed:
    """The deed of an API server that answers with an error."""

    async def answer(_request: web.Request, _forward: Forward) -> web.StreamResponse:
        told = {"kind": "Status", "apiVersion": "v1", "code": status, "reason": reason, "message": message}
        return web.json_response(told, status=status)

    return answer


def telling(code: int) -> Deed:
    """The deed of a watch that opens and then brings an error."""

    async def tell(asked: web.Request, _forward: Forward) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(asked)
        event = {"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "injected"}}
        await response.write(json.dumps(event).encode() + b"\n")
        return response

    return tell


async def dropping_the_answer(asked: web.Request, forward: Forward) -> web.StreamResponse:
    """The deed of a connection that breaks after the request was done."""
    answer = await forward()
    assert asked.transport is not None
    asked.transport.abort()
    return answer


def held(gate: asyncio.Event) -> Deed:
    """The deed of a request that does not arrive before the gate opens."""

    async def hold(_request: web.Request, forward: Forward) -> web.StreamResponse:
        await gate.wait()
        return await forward()

    return hold


class FaultyProxy:
    """The proxy."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._trust = ssl.create_default_context(cafile=str(plane.ca_file))
        self._trust.load_cert_chain(plane.folder / "probe.crt", plane.folder / "probe.key")
        self._faults: list[Fault] = []
        self._watches: dict[asyncio.Transport, str] = {}
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    @asynccontextmanager
    async def served(self) -> AsyncIterator["FaultyProxy"]:
        """Serve while the block lasts."""
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        async with aiohttp.ClientSession(timeout=NO_LIMIT, read_bufsize=2**21) as self._session:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
            self.cut_watches()
            await runner.cleanup()

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig that leads here."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "faulty", "cluster": {"server": self.url}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "faulty", "context": {"cluster": "faulty", "user": "nobody"}}],
            "current-context": "faulty",
        }
        file = folder / "faulty.kubeconfig"
        file.write_text(yaml.safe_dump(config))
        return file

    def inject(self, matches: Matches, deed: Deed, *, times: int | None = None) -> Fault:
        """Do this to requests that match."""
        fault = Fault(matches, deed, times)
        self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """Take all faults back."""
        self._faults.clear()

    def is_watched(self, part: str) -> bool:
        """Whether a watch with this part of a path is open."""
        return any(part in path for path in self._watches.values())

    def cut_watches(self) -> None:
        """Break every watch that is open."""
        for connection in tuple(self._watches):
            connection.abort()

    async def _answer(self, asked: web.Request) -> web.StreamResponse:
        body = await asked.read()

        async def forward() -> web.StreamResponse:
            return await self._forwarded(asked, body)

        for fault in self._faults:
            if fault.times != 0 and fault.matches(asked):
                fault.times = None if fault.times is None else fault.times - 1
                fault.met.set()
                return await fault.deed(asked, forward)
        return await forward()

    async def _forwarded(self, asked: web.Request, body: bytes) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in asked.headers.items() if name.lower() not in HOP_BY_HOP}
        url, data = self._plane.url + asked.path_qs, body or None
        async with self._session.request(asked.method, url, data=data, headers=headers, ssl=self._trust) as answer:
            if "watch" in asked.query:
                return await self._streamed(asked, answer)
            content_type = answer.headers.get("Content-Type", "application/json")
            return web.Response(body=await answer.read(), status=answer.status, headers={"Content-Type": content_type})

    async def _streamed(self, asked: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        await response.prepare(asked)
        assert asked.transport is not None
        connection = asked.transport
        self._watches[connection] = asked.path
        try:
            with suppress(ConnectionError):
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
        finally:
            self._watches.pop(connection, None)
        return response
