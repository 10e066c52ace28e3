"""What the server has recorded, for those who compare: runs with histories, artifacts with versions and bytes.

It reads the state folder itself, so it works beside a server in another process and after one that has died.
"""

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_sandbox.wandb_server import history
from finetune_sandbox.wandb_server.runs import Runs
from finetune_sandbox.wandb_server.store import Row, Store, attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """What is said of one run, without what it has streamed."""

    id: str
    entity: str
    project: str
    state: str
    exit_code: int | None
    display_name: str
    group: str | None
    job_type: str | None
    notes: str | None
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    """Without W&B's own part, each value as the client gave it."""
    summary: Mapping[str, Any]
    created: float
    """In seconds since 1970, as the next."""
    heartbeat: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord(RunHead):
    """One run."""

    history: tuple[Mapping[str, Any], ...]
    """The rows in the order of the stream."""
    console: tuple[str, ...]
    files: Mapping[str, Path]
    """The run's files by name, and where their bytes are."""
    inputs: tuple[str, ...]
    """The versions that it used, as `collection:v3`."""
    alerts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """One version of a collection; a pending one has no number."""

    entity: str
    project: str
    collection: str
    version: int | None
    type: str
    state: str
    digest: str
    aliases: tuple[str, ...]
    """Sorted: clients send them in any order."""
    metadata: Mapping[str, Any]
    ttl: int | None
    created: float
    run: str | None
    files: Mapping[str, Path]
    """Its files by path, and where their bytes are."""


class Records:
    """Reads a state folder."""

    def __init__(self, folder: Path, *, heartbeat_timeout: float = 300.0) -> None:
        self._folder = folder
        self._timeout = heartbeat_timeout

    def heads(self, project: str | None = None, entity: str | None = None) -> tuple[RunHead, ...]:
        """What is said of every run, oldest first; cheap however long they are."""
        with closing(Store(self._folder)) as store:
            return tuple(RunHead(**self._head(store, each)) for each in _runs(store, project, entity))

    def runs(self, project: str | None = None, entity: str | None = None) -> tuple[RunRecord, ...]:
        """Every run, oldest first."""
        with closing(Store(self._folder)) as store:
            return tuple(self._run(store, each) for each in _runs(store, project, entity))

    def run(self, name: str, project: str | None = None, entity: str | None = None) -> RunRecord:
        """The run of that id; KeyError when there is none or more than one."""
        found = [each for each in self.runs(project, entity) if each.id == name]
        if len(found) != 1:
            raise KeyError(name)
        return found[0]

    def artifacts(self, collection: str) -> tuple[ArtifactRecord, ...]:
        """The versions in a collection (or registry portfolio), oldest first; pending ones last."""
        with closing(Store(self._folder)) as store:
            members = store.rows(
                "SELECT artifacts.*, version, collections.id AS home, collections.name AS collection_name, type"
                " FROM collections JOIN memberships ON memberships.collection = collections.id"
                " JOIN artifacts ON artifact = artifacts.id WHERE collections.name = ? ORDER BY version",
                collection,
            )
            pending = store.rows(
                "SELECT artifacts.*, NULL AS version, collections.id AS home, collections.name AS collection_name, type"
                " FROM artifacts JOIN collections ON sequence = collections.id"
                " WHERE collections.name = ? AND state = 'PENDING' ORDER BY artifacts.id",
                collection,
            )
            return tuple(_artifact(store, each) for each in [*members, *pending])

    def collections(self) -> tuple[str, ...]:
        """The names of all collections."""
        with closing(Store(self._folder)) as store:
            return tuple(each["name"] for each in store.rows("SELECT name FROM collections ORDER BY id"))

    def _head(self, store: Store, row: Row) -> dict[str, Any]:
        said = attributes(row)
        return {
            "id": row["name"],
            "entity": row["entity"],
            "project": row["project_name"],
            "state": Runs(store, base="", now=time.time(), heartbeat_timeout=self._timeout).state(row),
            "exit_code": said.get("exit_code"),
            "display_name": said["displayName"],
            "group": said.get("groupName"),
            "job_type": said.get("jobType"),
            "notes": said.get("notes"),
            "tags": tuple(said["tags"]),
            "config": {key: each["value"] for key, each in said["config"].items() if key != "_wandb"},
            "summary": said["summary"],
            "created": row["created"],
            "heartbeat": row["heartbeat"],
        }

    def _run(self, store: Store, row: Row) -> RunRecord:
        return RunRecord(
            **self._head(store, row),
            history=tuple(json.loads(each) for each in history.lines(store, row["id"], history.HISTORY)),
            console=tuple(history.lines(store, row["id"], history.CONSOLE)),
            files=_files(store, "SELECT name, blob FROM run_files WHERE run = ?", row["id"]),
            inputs=_inputs(store, row["id"]),
            alerts=tuple(each["title"] for each in store.rows("SELECT title FROM alerts WHERE run = ?", row["id"])),
        )


def _runs(store: Store, project: str | None, entity: str | None) -> list[Row]:
    rows = store.rows(
        "SELECT runs.*, entity, projects.name AS project_name FROM runs JOIN projects ON project = projects.id"
        " ORDER BY runs.id"
    )
    return [each for each in rows if project in {None, each["project_name"]} and entity in {None, each["entity"]}]


def _artifact(store: Store, row: Row) -> ArtifactRecord:
    told = attributes(row)
    aliases = store.rows(
        "SELECT alias FROM aliases WHERE artifact = ? AND collection = ? ORDER BY alias", row["id"], row["home"]
    )
    run = store.row("SELECT name FROM runs WHERE id = ?", row["run"])
    home = store.row(
        "SELECT entity, projects.name FROM projects JOIN collections ON project = projects.id WHERE collections.id = ?",
        row["home"],
    )
    return ArtifactRecord(
        entity=home["entity"] if home else "",
        project=home["name"] if home else "",
        collection=row["collection_name"],
        version=row["version"],
        type=row["type"],
        state=row["state"],
        digest=row["digest"],
        aliases=tuple(each["alias"] for each in aliases),
        metadata=json.loads(told["metadata"] or "{}"),
        ttl=told["ttl"],
        created=row["created"],
        run=run["name"] if run else None,
        files=_files(store, "SELECT name, blob FROM artifact_files WHERE artifact = ?", row["id"]),
    )


def _files(store: Store, query: str, owner: int) -> dict[str, Path]:
    found = {each["name"]: store.blob_path(each["blob"]) for each in store.rows(query, owner)}
    return {name: path for name, path in found.items() if path.exists()}


def _inputs(store: Store, run: int) -> tuple[str, ...]:
    rows = store.rows(
        "SELECT collections.name, version FROM usages JOIN artifacts ON usages.artifact = artifacts.id"
        " JOIN collections ON sequence = collections.id"
        " JOIN memberships ON memberships.artifact = artifacts.id AND memberships.collection = collections.id"
        " WHERE usages.run = ? ORDER BY artifacts.id",
        run,
    )
    return tuple(f"{each['name']}:v{each['version']}" for each in rows)
