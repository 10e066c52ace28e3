"""The Hub's HTTP surface for writing: a repository is created, files are committed to its main branch.

Every file travels inside the commit, as the real Hub has it for small ones; LFS and Xet are not spoken.
"""

import base64
import json
from typing import Any

import yaml
from aiohttp import web

from finetune_sandbox.hub.repositories import Repositories, Snapshot

PRIVATE = ".private"
"""Beside a repository's branches: holds the token that may see it."""


async def create(repositories: Repositories, request: web.Request, token: str) -> web.Response:
    """A new repository; 409 when there is one."""
    wanted = await request.json()
    name = f"{wanted.get('organization') or 'sandbox'}/{wanted['name']}"
    kind = f"{wanted.get('type') or 'model'}s"
    url = str(request.url.origin()) + ("" if kind == "models" else f"/{kind}") + f"/{name}"
    if repositories.has(kind, name):
        return web.json_response({"error": "You already created this model repo", "url": url}, status=409)
    main = repositories.root / kind / name / "main"
    main.mkdir(parents=True)
    (main / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    if wanted.get("visibility") == "private" or wanted.get("private"):
        (main.parent / PRIVATE).write_text(token)
    return web.json_response({"url": url, "name": name})


async def check_card(request: web.Request) -> web.Response:
    """Whether the head of a card can be read."""
    content = (await request.json())["content"]
    parts = content.split("---\n")
    try:
        head = yaml.safe_load(parts[1]) if content.startswith("---\n") and len(parts) > 2 else {}
    except yaml.YAMLError as problem:
        return web.json_response({"errors": [{"message": str(problem)}], "warnings": []}, status=400)
    unknown = {"pipeline_tag", "library_name"} - head.keys()
    return web.json_response({"errors": [], "warnings": [{"message": f"no {each}"} for each in sorted(unknown)]})


async def modes(repository: Snapshot, request: web.Request) -> web.Response:
    """How each file is to be sent, and what is there under its name."""
    files = (await request.json())["files"]
    told = [
        {
            "path": each["path"],
            "uploadMode": "regular",
            "shouldIgnore": False,
            "oid": repository.files.get(each["path"]),
        }
        for each in files
    ]
    return web.json_response({"files": told})


async def commit(repository: Snapshot, repositories: Repositories, request: web.Request) -> web.Response:
    """Write and remove files at once; the commit's name follows from the content."""
    lines = [json.loads(line) for line in (await request.read()).splitlines() if line.strip()]
    for line in lines:
        _apply(repository, line["key"], line["value"])
    written = repositories.snapshot(repository.kind, repository.id, repository.folder.name)
    oid = written.commit if written else repository.commit
    url = f"{request.url.origin()}/{repository.id}/commit/{oid}"
    return web.json_response({"success": True, "commitOid": oid, "commitUrl": url})


def _apply(repository: Snapshot, key: str, value: dict[str, Any]) -> None:
    if key == "header":
        return
    path = (repository.folder / value["path"]).resolve()
    if not path.is_relative_to(repository.folder.resolve()):
        raise web.HTTPBadRequest(text="A file must lie in its repository.")
    match key:
        case "file":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(value["content"]))
        case "deletedFile":
            path.unlink(missing_ok=True)
        case other:
            raise web.HTTPBadRequest(text=f"The sandbox's hub does not commit {other!r}.")
