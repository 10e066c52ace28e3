"""Which address shows which page; the addresses are W&B's own, so what the SDK prints leads here."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from finetune_sandbox.wandb_server.pages import artifacts, runs
from finetune_sandbox.wandb_server.records import ArtifactRecord, Records, RunRecord

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
        " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
}


class Pages:
    """Pages over one state folder; each is rendered anew, on a thread, from what is on disk."""

    def __init__(self, folder: Path, *, heartbeat_timeout: float) -> None:
        self._records = Records(folder, heartbeat_timeout=heartbeat_timeout)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Answer at the pages' addresses."""
        router.add_get("/", self._list)
        router.add_get("/compare", self._comparison)
        router.add_get("/{entity}/{project}", self._project)
        router.add_get("/{entity}/{project}/runs/{run}", self._run)
        router.add_get("/{entity}/{project}/artifacts/{type}/{collection}/{version}", self._artifact)

    async def _list(self, _: web.Request) -> web.Response:
        return await _shown(lambda: runs.listed(self._records))

    async def _project(self, request: web.Request) -> web.Response:
        named = request.match_info
        return await _shown(lambda: runs.listed(self._records, named["project"], named["entity"]))

    async def _run(self, request: web.Request) -> web.Response:
        named = request.match_info
        reference = f"{named['entity']}/{named['project']}/{named['run']}"
        return await _shown(lambda: runs.page(self._records, self._named(reference)))

    async def _comparison(self, request: web.Request) -> web.Response:
        return await _shown(lambda: runs.side_by_side(self._records, self._asked(request)))

    async def _artifact(self, request: web.Request) -> web.Response:
        return await _shown(lambda: artifacts.page(self._records, self._version(request)))

    def _asked(self, request: web.Request) -> list[RunRecord]:
        """The runs that a comparison names, one by one or as a group."""
        if group := request.query.get("group"):
            return [each for each in self._records.runs() if each.group == group]
        return [self._named(each) for each in request.query.getall("run", [])]

    def _named(self, reference: str) -> RunRecord:
        entity, project, name = (*reference.split("/"), "", "")[:3]
        try:
            return self._records.run(name, project, entity)
        except KeyError:
            raise web.HTTPNotFound(text=f"This server knows no run {reference!r}.") from None

    def _version(self, request: web.Request) -> ArtifactRecord:
        named = request.match_info
        for each in self._records.artifacts(named["collection"]):
            is_there = (each.entity, each.project) == (named["entity"], named["project"])
            if is_there and named["version"] in {f"v{each.version}", *each.aliases}:
                return each
        raise web.HTTPNotFound(text=f"This server knows no version {named['collection']}:{named['version']}.")


async def _shown(render: Callable[[], str]) -> web.Response:
    text = await asyncio.to_thread(render)
    return web.Response(text=text, content_type="text/html", headers=HEADERS)
