"""The Hub's HTTP surface for reading: repository facts, trees and files; who may see and write what."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from finetune_sandbox.hub import writing
from finetune_sandbox.hub.repositories import Repositories, Snapshot

DATE = "2026-01-01T00:00:00.000Z"
FILES = "/{owner}/{name}/resolve/{revision}/{path:.+}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which tokens are good, and the repositories that need one, each by `OWNER/NAME`."""

    tokens: frozenset[str] = frozenset()
    """The good tokens beside those below; none named: every one in the Hub's own form, `hf_...`."""
    private: Mapping[str, str] = field(default_factory=dict)
    """Not to be seen without the token."""
    gated: Mapping[str, str] = field(default_factory=dict)
    """To be seen by all, files only with the token."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who must show which token to write below a name; elsewhere every token may."""

    def knows(self, token: str) -> bool:
        """Whether a token is somebody's."""
        named = {*self.tokens, *self.private.values(), *self.gated.values(), *self.owners.values()}
        return token in named or (not self.tokens and token.startswith("hf_"))


class Surface:
    """Answers for the repositories."""

    def __init__(self, repositories: Repositories, access: Access) -> None:
        self._repositories = repositories
        self._access = access

    def application(self) -> web.Application:
        """The hub as an aiohttp application."""
        app = web.Application(client_max_size=2**24, middlewares=[self._authenticated])
        for kind in ("models", "datasets"):
            root = f"/api/{kind}/{{owner}}/{{name}}"
            app.router.add_get(root, self._of(kind, _facts))
            app.router.add_get(f"{root}/revision/{{revision}}", self._of(kind, _facts))
            app.router.add_get(f"{root}/tree/{{revision}}", self._of(kind, _tree))
            app.router.add_get(f"{root}/tree/{{revision}}/{{path:.*}}", self._of(kind, _tree))
            app.router.add_post(f"{root}/paths-info/{{revision}}", self._of(kind, _paths))
            app.router.add_post(f"{root}/preupload/{{revision}}", self._of(kind, self._modes))
            app.router.add_post(f"{root}/commit/{{revision}}", self._of(kind, self._commit))
        app.router.add_post("/api/repos/create", self._create)
        app.router.add_post("/api/validate-yaml", writing.check_card)
        app.router.add_get("/api/whoami-v2", self._whoami)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/datasets" + FILES, self._of("datasets", self._file))
        app.router.add_get(FILES, self._of("models", self._file))
        return app

    @web.middleware
    async def _authenticated(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a token that nobody has, whatever is asked for, public or not."""
        token = _token(request)
        if token and not self._access.knows(token):
            raise _absent(401, None, "Invalid credentials in Authorization header")
        return await handler(request)

    def _of(self, kind: str, answer: Callable[[Snapshot, web.Request], Awaitable[web.StreamResponse]]) -> Handler:
        async def answered(request: web.Request) -> web.StreamResponse:
            return await answer(self._snapshot(kind, request), request)

        return answered

    def _snapshot(self, kind: str, request: web.Request) -> Snapshot:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        if not self._repositories.has(kind, name) or not self._is_shown(kind, name, _token(request)):
            raise _absent(404 if _token(request) else 401, "RepoNotFound", "Repository not found.")
        found = self._repositories.snapshot(kind, name, request.match_info.get("revision", "main"))
        if found is None:
            raise _absent(404, "RevisionNotFound", "Invalid rev id.")
        return found

    async def _file(self, repository: Snapshot, request: web.Request) -> web.StreamResponse:
        token = self._access.gated.get(repository.id)
        if token is not None and _token(request) != token:
            raise _absent(403 if _token(request) else 401, "GatedRepo", f"Access to {repository.id} is restricted.")
        path = request.match_info["path"]
        if path not in repository.files:
            raise _absent(404, "EntryNotFound", "Entry not found.", commit=repository.commit)
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{repository.files[path]}"'}
        return web.FileResponse(repository.folder / path, headers=headers)

    def _is_shown(self, kind: str, name: str, token: str) -> bool:
        wanted = self._access.private.get(name) or self._owners_own(kind, name)
        return wanted in {None, token}

    def _owners_own(self, kind: str, name: str) -> str | None:
        path = self._repositories.root / kind / name / writing.PRIVATE
        return path.read_text() if path.exists() else None

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self._may_write((await request.json()).get("organization") or "sandbox", request)
        return await writing.create(self._repositories, request, _token(request))

    async def _modes(self, repository: Snapshot, request: web.Request) -> web.StreamResponse:
        self._may_write(repository.id.partition("/")[0], request)
        return await writing.modes(repository, request)

    async def _commit(self, repository: Snapshot, request: web.Request) -> web.StreamResponse:
        self._may_write(repository.id.partition("/")[0], request)
        return await writing.commit(repository, self._repositories, request)

    def _may_write(self, owner: str, request: web.Request) -> None:
        token = _token(request)
        if not token:
            raise _absent(401, "Unauthorized", "Invalid username or password.")
        if self._access.owners.get(owner, token) != token:
            raise _absent(403, "Forbidden", f"You don't have the rights to write under the namespace {owner}.")

    async def _whoami(self, request: web.Request) -> web.StreamResponse:
        if not _token(request):
            raise _absent(401, "Unauthorized", "Invalid username or password.")
        return web.json_response({"type": "user", "name": "sandbox", "auth": {"type": "access_token"}})

    async def _health(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"healthy": True})


async def _facts(repository: Snapshot, request: web.Request) -> web.StreamResponse:
    known: dict[str, Any] = {
        "id": repository.id,
        "sha": repository.commit,
        "author": repository.id.split("/", maxsplit=1)[0],
        "lastModified": DATE,
        "createdAt": DATE,
        "private": (repository.folder.parent / writing.PRIVATE).exists(),
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": [{"rfilename": each} for each in repository.files],
    }
    if request.path.startswith("/api/models/"):
        known["modelId"] = repository.id
    return web.json_response(known)


async def _tree(repository: Snapshot, request: web.Request) -> web.StreamResponse:
    folder = request.match_info.get("path", "").strip("/")
    recursive = request.query.get("recursive", "").lower() in {"true", "1"}
    below = [each for each in _entries(repository) if each["path"].startswith(f"{folder}/" if folder else "")]
    if folder and not below:
        raise _absent(404, "EntryNotFound", "Entry not found.", commit=repository.commit)
    depth = folder.count("/") + 1 if folder else 0
    return web.json_response([each for each in below if recursive or each["path"].count("/") == depth])


async def _paths(repository: Snapshot, request: web.Request) -> web.StreamResponse:
    if request.content_type == "application/json":
        wanted = (await request.json())["paths"]
    else:
        wanted = (await request.post()).getall("paths", [])
    return web.json_response([each for each in _entries(repository) if each["path"] in wanted])


def _entries(repository: Snapshot) -> list[dict[str, Any]]:
    parents = {
        "/".join(path.split("/")[:depth]) for path in repository.files for depth in range(1, path.count("/") + 1)
    }
    folders = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": each} for each in sorted(parents)]
    files = [
        {"type": "file", "oid": digest, "size": (repository.folder / path).stat().st_size, "path": path}
        for path, digest in repository.files.items()
    ]
    return folders + files


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _absent(status: int, code: str | None, message: str, commit: str | None = None) -> web.HTTPException:
    headers = {"X-Error-Message": message}
    if code:
        headers["X-Error-Code"] = code
    if commit:
        headers["X-Repo-Commit"] = commit
    kinds: dict[int, type[web.HTTPException]] = {
        401: web.HTTPUnauthorized,
        403: web.HTTPForbidden,
        404: web.HTTPNotFound,
    }
    return kinds[status](text=message, headers=headers)
