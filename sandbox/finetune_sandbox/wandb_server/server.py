"""The HTTP surface: GraphQL, the file stream, storage, pages to look at, and an admin door for tests."""

import base64
import binascii
import errno
import hmac
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from pydantic import ValidationError

from finetune_sandbox.wandb_server import files, graphql, history
from finetune_sandbox.wandb_server.faults import Effect, Fault, Faults, Struck, reset
from finetune_sandbox.wandb_server.graphql import Json, Refused
from finetune_sandbox.wandb_server.pages import Pages
from finetune_sandbox.wandb_server.resolvers import Request
from finetune_sandbox.wandb_server.runs import Runs
from finetune_sandbox.wandb_server.store import Store, claimed

log = logging.getLogger(__name__)

MAX_BODY = 256 * 2**20
MIN_KEY = 40

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the server behaves."""

    entity: str = "sandbox"
    """The default entity of every key."""
    keys: tuple[str, ...] = ()
    """The API keys that are good; none named: every key of at least 40 characters."""
    admin_token: str = ""
    """Who shows it may make trouble; empty: nobody over HTTP."""
    heartbeat_timeout: float = 300.0
    """A run whose client has been silent for so many seconds has crashed."""
    clock: Callable[[], float] = field(default=time.time)


class Surface:
    """Routes requests to the store."""

    def __init__(self, folder: Path, settings: Settings, faults: Faults) -> None:
        self._folder = folder
        self._settings = settings
        self._faults = faults

    def application(self) -> web.Application:
        """The server as an aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[errors])
        app.cleanup_ctx.append(self._opened)
        app.router.add_post("/graphql", self._graphql)
        app.router.add_post("/files/{entity}/{project}/{run}/file_stream", self._file_stream)
        app.router.add_put("/storage/{key}", self._put)
        app.router.add_get("/storage/{key}", self._get)
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/admin/faults", self._add_fault)
        app.router.add_delete("/admin/faults", self._clear_faults)
        app.router.add_get("/admin/requests", self._requests)
        Pages(self._folder, heartbeat_timeout=self._settings.heartbeat_timeout).add_to(app.router)
        return app

    async def _opened(self, _: web.Application) -> AsyncIterator[None]:
        """The store while the server runs, without the half-done uploads of one that was killed."""
        with claimed(self._folder), closing(Store(self._folder)) as self._store:
            for part in (self._folder / "blobs").glob(".*"):
                part.unlink()
            yield

    def _authorize(self, request: web.Request) -> None:
        key = _key(request.headers.get("Authorization", ""))
        good = key in self._settings.keys if self._settings.keys else len(key) >= MIN_KEY
        if not good:
            raise Struck(401)

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        asked = graphql.operation(body["query"], body.get("operationName"), body.get("variables"))
        roots = " ".join(each.name.value for each in asked.definition.selection_set.selections if hasattr(each, "name"))
        fault = self._faults.strike(f"graphql {asked.name} {roots}")
        await self._faults.before(fault, request)
        self._authorize(request)
        resolvers = Request(
            store=self._store,
            base=f"{request.scheme}://{request.host}",
            now=self._settings.clock(),
            entity=self._settings.entity,
            heartbeat_timeout=self._settings.heartbeat_timeout,
        ).resolvers(asked.kind)
        data = graphql.answer(asked, resolvers)
        _lose(fault, request)
        return web.json_response({"data": data})

    async def _file_stream(self, request: web.Request) -> web.StreamResponse:
        entity, project, name = (request.match_info[each] for each in ("entity", "project", "run"))
        sent: Json = await request.json()
        fault = self._faults.strike(f"file_stream {entity}/{project}/{name}")
        await self._faults.before(fault, request)
        self._authorize(request)
        now = self._settings.clock()
        runs = Runs(self._store, base="", now=now, heartbeat_timeout=self._settings.heartbeat_timeout)
        run = runs.run(entity, project, name)
        if run is None:
            raise Struck(404)
        answer = history.receive(self._store, run, sent, now)
        _lose(fault, request)
        return web.json_response(answer)

    async def _put(self, request: web.Request) -> web.StreamResponse:
        fault = self._faults.strike(f"put {files.title(self._store, request.match_info['key'])}")
        await self._faults.before(fault, request)
        await files.put(self._store, request, fault)
        _lose(fault, request)
        return web.Response()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        fault = self._faults.strike(f"get {files.title(self._store, request.match_info['key'])}")
        await self._faults.before(fault, request)
        return files.fetched(self._store, request.match_info["key"])

    async def _health(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"healthy": True})

    def _admit(self, request: web.Request) -> None:
        wanted, shown = self._settings.admin_token, request.headers.get("Authorization", "")
        if not wanted or not hmac.compare_digest(shown.encode(), f"Bearer {wanted}".encode()):
            raise web.HTTPForbidden(text="Only the bearer token given with --admin-token opens this door.")

    async def _add_fault(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        self._faults.add(Fault.model_validate(await request.json()))
        return web.json_response({})

    async def _clear_faults(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        self._faults.clear()
        return web.json_response({})

    async def _requests(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        return web.json_response(list(self._faults.seen))


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say what is wrong as the real server does; a defect of ours is a 400, because clients retry a 500 for minutes.

    A full disk is a 507: what is sent again arrives when somebody has made room.
    """
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Struck as error:
        message = "invalid API key" if error.status == 401 else "The sandbox was asked to fail."
        return _problem(error.status, message)
    except (Refused, ValidationError, json.JSONDecodeError) as error:
        log.warning("refused: %s %s: %s", request.method, request.path, error)
        return _problem(error.status if isinstance(error, Refused) else 400, str(error))
    except Exception as error:
        log.exception("failed: %s %s", request.method, request.path)
        if _is_about_room(error):
            return _problem(507, "The disk that the sandbox's W&B server writes to is full. Make room on it.")
        return _problem(400, f"Defect in the sandbox's W&B server: {error!r}")


def _is_about_room(error: Exception) -> bool:
    is_full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    return is_full or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"errors": [{"message": message}], "data": None}, status=status)


def _lose(fault: Fault | None, request: web.Request) -> None:
    if fault and fault.effect == Effect.LOSE:
        reset(request)


def _key(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme != "Basic":
        return ""
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
