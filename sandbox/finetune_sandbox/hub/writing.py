"""The Hub's HTTP surface for writing: a repository is created, files are committed to its main branch.

Every file travels inside the commit, as the real Hub has it for small ones; LFS and Xet are not spoken.
"""

import base64
import json
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from finetune_sandbox.hub.repositories import Repositories, Snapshot

PRIVATE = ".private"
"""Beside a repository's branches: holds the token that may see it."""


async def create(repositories: Repositories, request: web.Request, token: str) -> web.Response:
    """A new repository; 409 when there is one, 400 when nothing can be called so."""
    wanted = await request.json()
    name = f"{wanted.get('organization') or 'sandbox'}/{wanted['name']}"
    kind = f"{wanted.get('type') or 'model'}s"
    url = str(request.url.origin()) + ("" if kind == "models" else f"/{kind}") + f"/{name}"
    folder = repositories.folder(kind, name)
    if folder is None:
        return web.json_response({"error": f"Invalid repo name: {name}"}, status=400)
    if folder.is_dir():
        return web.json_response({"error": "You already created this model repo", "url": url}, status=409)
    main = folder / "main"
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
    wanted = [(_inside(repository, line["value"]["path"]), line) for line in lines if line["key"] != "header"]
    for path, line in wanted:
        _apply(path, line["key"], line["value"])
    written = repositories.snapshot(repository.kind, repository.id, repository.folder.name)
    oid = written.commit if written else repository.commit
    url = f"{request.url.origin()}/{repository.id}/commit/{oid}"
    return web.json_response({"success": True, "commitOid": oid, "commitUrl": url})


def _inside(repository: Snapshot, path: str) -> Path:
    root = repository.folder.resolve()
    found = (root / path).resolve()
    if found == root or not found.is_relative_to(root):
        raise web.HTTPBadRequest(text="A file must lie in its repository.")
    return found


def _apply(path: Path, key: str, value: dict[str, Any]) -> None:
    match key:
        case "file":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(value["content"]))
        case "deletedFile":
            path.unlink(missing_ok=True)
        case other:
            raise web.HTTPBadRequest(text=f"The sandbox's hub does not commit {other!r}.")
