"""What the server keeps: one SQLite file for records, a folder for bytes. It survives `kill -9` at any moment.

Any process may open the same folder to read while the server writes.
"""

import base64
import fcntl
import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune_sandbox.wandb_server.graphql import Json, Refused

SCHEMA = """
CREATE TABLE IF NOT EXISTS projects (
    id INTEGER PRIMARY KEY, entity TEXT, name TEXT, created REAL, UNIQUE (entity, name));
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project INTEGER, name TEXT, state TEXT, created REAL, heartbeat REAL,
    attributes TEXT, UNIQUE (project, name));
CREATE TABLE IF NOT EXISTS deleted_runs (project INTEGER, name TEXT, PRIMARY KEY (project, name));
CREATE TABLE IF NOT EXISTS lines (
    run INTEGER, file TEXT, position INTEGER, line TEXT, PRIMARY KEY (run, file, position));
CREATE TABLE IF NOT EXISTS run_files (
    id INTEGER PRIMARY KEY, run INTEGER, name TEXT, blob TEXT, updated REAL, UNIQUE (run, name));
CREATE TABLE IF NOT EXISTS blobs (key TEXT PRIMARY KEY, md5 TEXT, expected TEXT, size INTEGER);
CREATE INDEX IF NOT EXISTS blobs_expected ON blobs (expected);
CREATE TABLE IF NOT EXISTS collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project INTEGER, name TEXT, kind TEXT, type TEXT, created REAL,
    description TEXT,
    next_version INTEGER DEFAULT 0, UNIQUE (project, name));
CREATE TABLE IF NOT EXISTS artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sequence INTEGER, state TEXT, digest TEXT, run INTEGER, client_id TEXT,
    created REAL, updated REAL, attributes TEXT);
CREATE TABLE IF NOT EXISTS memberships (
    id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER, artifact INTEGER, version INTEGER, created REAL,
    UNIQUE (collection, artifact));
CREATE TABLE IF NOT EXISTS aliases (
    id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER, alias TEXT, artifact INTEGER, UNIQUE (collection, alias));
CREATE TABLE IF NOT EXISTS manifests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, artifact INTEGER, name TEXT, digest TEXT, blob TEXT, UNIQUE (artifact, name));
CREATE TABLE IF NOT EXISTS artifact_files (
    artifact INTEGER, name TEXT, md5 TEXT, blob TEXT, PRIMARY KEY (artifact, name));
CREATE TABLE IF NOT EXISTS usages (run INTEGER, artifact INTEGER, UNIQUE (run, artifact));
CREATE TABLE IF NOT EXISTS alerts (
    id INTEGER PRIMARY KEY, run INTEGER, title TEXT, text TEXT, severity TEXT, created REAL);
"""

Row = sqlite3.Row


class FolderInUse(Exception):
    """Another server has the folder; the message says what to do."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Have the folder as the only server while the block lasts; `FolderInUse` when another has it.

    The lock ends with the process, however that ends. Who only reads needs none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(
                f"The folder {folder} is in use by another run. Wait until it has ended, or give another one with "
                "--state."
            ) from None
        yield


class Store:
    """The records and bytes under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "records.sqlite", isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA busy_timeout = 10000")
        self._database.executescript(SCHEMA)

    def close(self) -> None:
        """Let go of the database file."""
        self._database.close()

    def row(self, query: str, *values: Any) -> Row | None:
        """The first row found."""
        found: Row | None = self._database.execute(query, values).fetchone()
        return found

    def rows(self, query: str, *values: Any) -> list[Row]:
        """All rows found."""
        return self._database.execute(query, values).fetchall()

    def count(self, query: str, *values: Any) -> int:
        """The number that the query answers; nothing counts as 0."""
        return int(self._database.execute(query, values).fetchone()[0] or 0)

    def write(self, query: str, *values: Any) -> int:
        """Change something; returns the new row's number."""
        return int(self._database.execute(query, values).lastrowid or 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All the writes inside or none."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def new_blob(self, expected: str | None = None) -> str:
        """The key of a blob whose bytes are still to come; who has the key may put them."""
        key = secrets.token_hex(16)
        self.write("INSERT INTO blobs (key, expected) VALUES (?, ?)", key, expected)
        return key

    def blob_path(self, key: str) -> Path:
        """Where a blob's bytes are."""
        return self._blobs / key

    def blob(self, key: str) -> bytes:
        """A blob's bytes."""
        return self.blob_path(key).read_bytes()


def attributes(row: Row) -> Json:
    """The part of a record that is kept as JSON."""
    found: Json = json.loads(row["attributes"])
    return found


def node_id(kind: str, number: int) -> str:
    """The opaque name of a record, in base64 as the client wants it."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def number(kind: str, node: str) -> int:
    """The record that an opaque name names."""
    try:
        prefix, _, tail = base64.b64decode(node, validate=True).decode().partition(":")
        if prefix == kind:
            return int(tail)
    except ValueError:
        pass
    raise Refused(f"{node!r} names no {kind}.")
