"""Runs: created, resumed, described, listed, stopped, rewound and deleted."""

import json
import re
import time
from typing import Any

from finetune_sandbox.wandb_server import history
from finetune_sandbox.wandb_server.graphql import Conflict, Json, Refused, page
from finetune_sandbox.wandb_server.store import Row, Store, attributes, node_id, number

TEXTS = (
    "displayName",
    "notes",
    "description",
    "groupName",
    "jobType",
    "host",
    "jobProgram",
    "jobRepo",
    "commit",
    "sweep",
)
"""What an upsert may set and what it leaves alone when it says null."""

TERMINAL = {"finished", "failed", "crashed", "preempted", "killed"}


def timestamp(seconds: float) -> str:
    """A moment as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class Runs:
    """The run part of the API, over one store."""

    def __init__(self, store: Store, *, base: str, now: float, heartbeat_timeout: float) -> None:
        self._store = store
        self._base = base
        self._now = now
        self._timeout = heartbeat_timeout

    def project(self, entity: str, name: str, *, create: bool = False) -> Row | None:
        """The project's record."""
        query = "SELECT * FROM projects WHERE entity = ? AND name = ?"
        found = self._store.row(query, entity, name)
        if found is None and create:
            values = (entity, name, self._now)
            self._store.write("INSERT INTO projects (entity, name, created) VALUES (?, ?, ?)", *values)
            found = self._store.row(query, entity, name)
        return found

    def run(self, entity: str, project: str, name: str) -> Row | None:
        """The run's record."""
        return self._store.row(
            "SELECT runs.* FROM runs JOIN projects ON runs.project = projects.id"
            " WHERE projects.entity = ? AND projects.name = ? AND runs.name = ?",
            entity,
            project,
            name,
        )

    def existing(self, entity: str, project: str, name: str) -> Row:
        """The run's record; refused when there is none."""
        found = self.run(entity, project, name)
        if found is None:
            raise Refused(f"Run {entity}/{project}/{name} does not exist.")
        return found

    def upsert(self, given: Json) -> Json:
        """Create a run or change what is said of it; a client that names its host has (re)started it."""
        with self._store.transaction():
            found = self._upserted(given)
            inserted = found is None
            if found is None:
                found = self._inserted(given)
            said = {**attributes(found), **{key: given[key] for key in TEXTS if given.get(key) is not None}}
            if given.get("tags") is not None:
                said["tags"] = given["tags"]
            if given.get("config") is not None:
                said["config"] = json.loads(given["config"])
            if given.get("summaryMetrics") is not None:
                said["summary"] = json.loads(given["summaryMetrics"])
            state = given.get("state") or found["state"]
            if given.get("host") or given.get("jobProgram"):
                state = "running"
                said |= {"exit_code": None, "stop_requested": False}
            self._store.write(
                "UPDATE runs SET attributes = ?, state = ?, heartbeat = ? WHERE id = ?",
                json.dumps(said),
                state,
                self._now,
                found["id"],
            )
        return {"bucket": self.view(self._by_id(found["id"])), "inserted": inserted}

    def _upserted(self, given: Json) -> Row | None:
        if given.get("id"):
            return self._by_id(number("Run", given["id"]))
        return self.run(given["entityName"], given["modelName"], given["name"])

    def _inserted(self, given: Json) -> Row:
        project = self.project(given["entityName"], given["modelName"], create=True)
        if project is None:
            raise Refused("The project could not be created.")
        if self._store.row("SELECT 1 FROM deleted_runs WHERE project = ? AND name = ?", project["id"], given["name"]):
            named = f"{given['entityName']}/{given['modelName']}/{given['name']}"
            raise Conflict(f"run {named} was previously created and deleted; try a new run name")
        said = {"displayName": given["name"], "tags": [], "config": {}, "summary": {}}
        run = self._store.write(
            "INSERT INTO runs (project, name, state, created, heartbeat, attributes) VALUES (?, ?, 'running', ?, ?, ?)",
            project["id"],
            given["name"],
            self._now,
            self._now,
            json.dumps(said),
        )
        return self._by_id(run)

    def _by_id(self, run: int) -> Row:
        found = self._store.row("SELECT * FROM runs WHERE id = ?", run)
        if found is None:
            raise Refused("The run does not exist.")
        return found

    def view(self, run: Row) -> Json:
        """All that a client may ask of a run."""
        project = self._store.row("SELECT * FROM projects WHERE id = ?", run["project"])
        if project is None:
            raise Refused("The run's project does not exist.")
        said = attributes(run)
        user = {"id": node_id("User", 1), "name": project["entity"], "username": project["entity"]}
        return {
            "__typename": "Run",
            "id": node_id("Run", run["id"]),
            "name": run["name"],
            "projectId": str(project["id"]),
            "project": self.project_view(project),
            "state": self.state(run),
            "tags": said["tags"],
            "displayName": said["displayName"],
            "notes": said.get("notes"),
            "description": said.get("description"),
            "group": said.get("groupName"),
            "jobType": said.get("jobType"),
            "commit": said.get("commit"),
            "sweepName": said.get("sweep"),
            "config": json.dumps(said["config"]),
            "summaryMetrics": json.dumps(said["summary"]),
            "wandbConfig": lambda asked: json.dumps(_telemetry(said["config"], asked["keys"])),
            "readOnly": False,
            "createdAt": timestamp(run["created"]),
            "heartbeatAt": timestamp(run["heartbeat"]),
            "user": user,
            "stopped": bool(said.get("stop_requested")),
            **history.views(self._store, run),
            **self._files(run),
        }

    def project_view(self, project: Row) -> Json:
        """What a client may ask of a project, without its artifacts."""
        return {
            "__typename": "Project",
            "id": node_id("Project", project["id"]),
            "internalId": str(project["id"]),
            "name": project["name"],
            "entityName": project["entity"],
            "entity": {"id": node_id("Entity", 1), "name": project["entity"]},
            "createdAt": timestamp(project["created"]),
            "updatedAt": timestamp(project["created"]),
            "description": "",
            "access": "USER_READ",
            "views": None,
            "isBenchmark": False,
            "readOnly": False,
            "user": None,
            "run": lambda asked: self._named(project, asked["name"]),
            "bucket": lambda asked: self._named(project, asked["name"]),
            "runs": lambda asked: page(self._listed(project, asked), asked),
            "runCount": lambda asked: len(self._listed(project, asked)),
        }

    def state(self, run: Row) -> str:
        """The state now: a run whose client has fallen silent has crashed, or was preempted if it said so before."""
        state: str = run["state"]
        if state in TERMINAL or self._now - run["heartbeat"] <= self._timeout:
            return state
        return "preempted" if state == "preempting" else "crashed"

    def _named(self, project: Row, name: str) -> Json | None:
        found = self._store.row("SELECT * FROM runs WHERE project = ? AND name = ?", project["id"], name)
        return self.view(found) if found else None

    def _listed(self, project: Row, asked: Json) -> list[Json]:
        found = [
            self.view(each)
            for each in self._store.rows("SELECT * FROM runs WHERE project = ? ORDER BY id", project["id"])
        ]
        wanted = [each for each in found if matches(json.loads(asked.get("filters") or "{}"), each)]
        order = asked.get("order") or "+created_at"
        if order.lstrip("+-") != "created_at":
            raise Refused(f"The sandbox's W&B server does not order runs by {order!r}.")
        return wanted[::-1] if order.startswith("-") else wanted

    def _files(self, run: Row) -> Json:
        rows = self._store.rows(
            "SELECT run_files.*, blobs.size, blobs.md5 FROM run_files JOIN blobs ON run_files.blob = blobs.key"
            " WHERE run = ? AND size IS NOT NULL ORDER BY name",
            run["id"],
        )
        files = [self._file(each) for each in rows]
        return {"fileCount": len(files), "files": lambda asked: page(_selected(files, asked), asked)}

    def _file(self, row: Row) -> Json:
        url = f"{self._base}/storage/{row['blob']}"
        return {
            "__typename": "File",
            "id": node_id("RunFile", row["id"]),
            "name": row["name"],
            "url": url,
            "directUrl": url,
            "sizeBytes": str(row["size"]),
            "mimetype": "application/octet-stream",
            "updatedAt": timestamp(row["updated"]),
            "md5": row["md5"],
        }

    def create_files(self, given: Json) -> Json:
        """Addresses to put a run's files to."""
        run = self.existing(given["entityName"], given["projectName"], given["runName"])
        files = [
            {"name": name, "uploadUrl": f"{self._base}/storage/{self._slot(run, name)}"} for name in given["files"]
        ]
        return {"runID": node_id("Run", run["id"]), "uploadHeaders": [], "files": files}

    def _slot(self, run: Row, name: str) -> str:
        found = self._store.row("SELECT blob FROM run_files WHERE run = ? AND name = ?", run["id"], name)
        if found:
            return str(found["blob"])
        key = self._store.new_blob()
        self._store.write(
            "INSERT INTO run_files (run, name, blob, updated) VALUES (?, ?, ?, ?)", run["id"], name, key, self._now
        )
        return key

    def delete_files(self, given: Json) -> Json:
        """Remove files of a run."""
        for each in given["files"]:
            self._store.write("DELETE FROM run_files WHERE id = ?", number("RunFile", each))
        return {"success": True}

    def stop(self, given: Json) -> Json:
        """Ask the run's client to stop; it hears so with its next heartbeat."""
        self._say(self._by_id(number("Run", given["id"])), stop_requested=True)
        return {"success": True}

    def update_state(self, given: Json) -> Json:
        """Requeue a run or give it up."""
        self._store.write("UPDATE runs SET state = ? WHERE id = ?", given["state"], number("Run", given["id"]))
        return {"success": True}

    def delete(self, given: Json) -> Json:
        """Forget a run but for its id, which no other may have; its artifacts stay."""
        run = number("Run", given["id"])
        with self._store.transaction():
            for query in (
                "INSERT OR IGNORE INTO deleted_runs SELECT project, name FROM runs WHERE id = ?",
                "DELETE FROM lines WHERE run = ?",
                "DELETE FROM run_files WHERE run = ?",
                "DELETE FROM usages WHERE run = ?",
                "DELETE FROM runs WHERE id = ?",
            ):
                self._store.write(query, run)
        return {"clientMutationId": None}

    def rewind(self, given: Json) -> Json:
        """Cut a run's history after a step."""
        if given["metricName"] != "_step":
            raise Refused("A run can be rewound by _step only.")
        run = self.existing(given["entityName"], given["projectName"], given["runName"])
        history.cut(self._store, run, int(given["metricValue"]))
        return {"rewoundRun": self.view(self._by_id(run["id"]))}

    def alert(self, given: Json) -> Json:
        """Note an alert."""
        run = self.existing(given["entityName"], given["projectName"], given["runName"])
        self._store.write(
            "INSERT INTO alerts (run, title, text, severity, created) VALUES (?, ?, ?, ?, ?)",
            run["id"],
            given["title"],
            given["text"],
            given["severity"],
            self._now,
        )
        return {"success": True}

    def _say(self, run: Row, **changes: Any) -> None:
        said = json.dumps(attributes(run) | changes)
        self._store.write("UPDATE runs SET attributes = ? WHERE id = ?", said, run["id"])


def matches(filters: Json, run: Json) -> bool:
    """Whether a run passes a filter of the public API, as far as this server knows them."""
    for key, wanted in filters.items():
        match key:
            case "$and":
                fits = all(matches(each, run) for each in wanted)
            case "$or":
                fits = any(matches(each, run) for each in wanted)
            case _:
                fits = _fits(_field(key, run), wanted)
        if not fits:
            return False
    return True


def _field(key: str, run: Json) -> Any:
    if key.startswith("config."):
        name = key.removeprefix("config.").removesuffix(".value")
        return json.loads(run["config"]).get(name, {}).get("value")
    if key.startswith("summary_metrics."):
        return json.loads(run["summaryMetrics"]).get(key.removeprefix("summary_metrics."))
    named = {"display_name": "displayName", "name": "name", "state": "state", "tags": "tags", "group": "group"}
    if key not in named:
        raise Refused(f"The sandbox's W&B server does not filter runs by {key!r}.")
    return run[named[key]]


def _fits(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted in value if isinstance(value, list) else value == wanted)
    for operator, operand in wanted.items():
        match operator:
            case "$in":
                fits = bool(set(value) & set(operand)) if isinstance(value, list) else value in operand
            case "$eq":
                fits = value == operand
            case "$ne":
                fits = value != operand
            case "$regex":
                fits = re.search(operand, str(value)) is not None
            case _:
                raise Refused(f"The sandbox's W&B server does not know the filter {operator!r}.")
        if not fits:
            return False
    return True


def _telemetry(config: Json, keys: list[str]) -> Json:
    told = config.get("_wandb", {}).get("value", {})
    return {key: told[key] for key in keys if key in told}


def _selected(files: list[Json], asked: Json) -> list[Json]:
    if asked.get("names"):
        return [each for each in files if each["name"] in asked["names"]]
    if asked.get("pattern"):
        pattern = re.escape(asked["pattern"]).replace("%", ".*").replace("_", ".")
        return [each for each in files if re.fullmatch(pattern, each["name"])]
    return files
