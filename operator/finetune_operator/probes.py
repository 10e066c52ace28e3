"""/healthz, /readyz and /metrics: the truth about this process, for the kubelet and for Prometheus."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Check = Callable[[], str | None]
"""What is wrong, in a sentence; None when nothing is."""


def application(*, health: Check, readiness: Check, metrics: Callable[[], bytes]) -> web.Application:
    """The three addresses."""

    async def healthz(_: web.Request) -> web.Response:
        return answer(health())

    async def readyz(_: web.Request) -> web.Response:
        return answer(health() or readiness())

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE})

    served = web.Application()
    served.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", exposition)])
    return served


def answer(wrong: str | None) -> web.Response:
    """200, or 500 with what is wrong."""
    return web.Response(text=wrong or "ok", status=500 if wrong else 200)


@asynccontextmanager
async def served(application: web.Application, port: int) -> AsyncIterator[int]:
    """Serve on this port while the block lasts; the port that was chosen, when it is 0."""
    runner = web.AppRunner(application, handle_signals=False, access_log=None)
    await runner.setup()
    try:
        # A pod's network is its own; the NetworkPolicy says who may come in.
        site = web.TCPSite(runner, "0.0.0.0", port)  # noqa: S104
        await site.start()
        chosen: int = runner.addresses[0][1]
        yield chosen
    finally:
        await runner.cleanup()
