"""Bytes in and out: whoever has a blob's key may put it and fetch it, as with a signed address of a bucket."""

import asyncio
import base64
import hashlib
import secrets
from typing import BinaryIO

from aiohttp import web

from finetune_sandbox.wandb_server.faults import Effect, Fault, reset
from finetune_sandbox.wandb_server.graphql import Refused
from finetune_sandbox.wandb_server.store import Row, Store

CHUNK = 65536


def blob(store: Store, key: str) -> Row:
    """The blob's record."""
    found = store.row("SELECT * FROM blobs WHERE key = ?", key)
    if found is None:
        raise web.HTTPNotFound(text="There is no such object.")
    return found


def title(store: Store, key: str) -> str:
    """What a blob is called, for labels."""
    found = store.row(
        "SELECT name FROM run_files WHERE blob = ? UNION ALL SELECT name FROM artifact_files WHERE blob = ?"
        " UNION ALL SELECT 'manifest ' || name FROM manifests WHERE blob = ?",
        key,
        key,
        key,
    )
    return str(found["name"]) if found else key


async def put(store: Store, request: web.Request, fault: Fault | None) -> None:
    """Take an upload whole or not at all; bytes other than promised are refused."""
    row = blob(store, request.match_info["key"])
    part = store.folder / "blobs" / f".{row['key']}.{secrets.token_hex(4)}"
    try:
        with part.open("wb") as file:
            digest, size = await _received(request, file, fault)
        if row["expected"] and base64.b64decode(row["expected"]) != digest:
            raise Refused("The bytes do not have the MD5 sum that was promised.")
        part.replace(store.blob_path(row["key"]))
    finally:
        part.unlink(missing_ok=True)
    md5 = base64.b64encode(digest).decode()
    store.write("UPDATE blobs SET md5 = ?, size = ? WHERE key = ?", md5, size, row["key"])


async def _received(request: web.Request, file: BinaryIO, fault: Fault | None) -> tuple[bytes, int]:
    digest, size = hashlib.md5(usedforsecurity=False), 0
    async for chunk in request.content.iter_chunked(CHUNK):
        file.write(chunk)
        digest.update(chunk)
        size += len(chunk)
        if fault and fault.effect == Effect.SLOW:
            await asyncio.sleep(len(chunk) / fault.bytes_per_second)
        if fault and fault.effect == Effect.TRUNCATE and size >= fault.after_bytes:
            reset(request)
    if request.content_length is not None and size != request.content_length:
        raise Refused("The upload was cut short.")
    return digest.digest(), size


def fetched(store: Store, key: str) -> web.FileResponse:
    """The blob's bytes, in ranges if asked."""
    row = blob(store, key)
    if row["size"] is None:
        raise web.HTTPNotFound(text="The object has not been uploaded.")
    return web.FileResponse(store.blob_path(key), headers={"Content-Type": "application/octet-stream"})
