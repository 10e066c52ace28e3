"""The root fields of the GraphQL API."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_sandbox.wandb_server.artifact_views import ArtifactViews
from finetune_sandbox.wandb_server.artifacts import Artifacts
from finetune_sandbox.wandb_server.graphql import Json, Refused, Resolver, page
from finetune_sandbox.wandb_server.runs import Runs
from finetune_sandbox.wandb_server.store import Store, node_id, number

REGISTRY = "wandb-registry-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What answers one request: where, when and to whom."""

    store: Store
    base: str
    now: float
    entity: str
    heartbeat_timeout: float

    def resolvers(self, kind: str) -> Mapping[str, Resolver]:
        """The root fields of queries or of mutations."""
        runs = Runs(self.store, base=self.base, now=self.now, heartbeat_timeout=self.heartbeat_timeout)
        artifacts = Artifacts(self.store, base=self.base, now=self.now)
        artifacts.expire()
        views = ArtifactViews(self.store, artifacts, runs, base=self.base)
        if kind == "query":
            return Queries(self.store, runs, artifacts, views, self.entity).resolvers()
        return Mutations(self.store, runs, artifacts, views, self.entity).resolvers()


class Queries:
    """What can be read."""

    def __init__(self, store: Store, runs: Runs, artifacts: Artifacts, views: ArtifactViews, entity: str) -> None:
        self._store = store
        self._runs = runs
        self._artifacts = artifacts
        self._views = views
        self._entity = entity

    def resolvers(self) -> dict[str, Resolver]:
        """Every query by its name."""
        return {
            "viewer": lambda _: self._viewer(),
            "serverInfo": lambda _: {
                "features": [],
                "cliVersionInfo": {"max_cli_version": "99.0.0"},
                "latestLocalVersionInfo": None,
            },
            "entity": lambda asked: self._entity_named(asked.get("name") or self._entity),
            "organization": lambda asked: _organization(asked["name"]),
            "project": self._project,
            "model": self._project,
            "models": lambda asked: page(self._projects(asked.get("entityName") or self._entity), asked),
            "artifact": lambda asked: self._views.artifact(self._artifacts.artifact(number("Artifact", asked["id"]))),
            "artifactCollection": self._collection,
            "clientIDMapping": lambda asked: {
                "serverID": node_id("Artifact", self._artifacts.by_client(asked["clientID"])["id"])
            },
        }

    def _viewer(self) -> Json:
        return {
            "__typename": "User",
            "id": node_id("User", 1),
            "entity": self._entity,
            "username": self._entity,
            "name": self._entity,
            "email": f"{self._entity}@example.invalid",
            "admin": True,
            "flags": "{}",
            "deletedAt": None,
            "apiKeys": {"edges": []},
            "teams": {"edges": [{"node": {"name": self._entity}}]},
            "organizations": [_organization(self._entity)],
        }

    def _entity_named(self, name: str) -> Json:
        return {
            "id": node_id("Entity", 1),
            "name": name,
            "isTeam": True,
            "xxhashDigestsEnabled": False,
            "organization": {**_organization(name), "coreWeaveOrganizationId": None},
            "user": None,
            "project": lambda asked: self._project({"entityName": name, "name": asked["name"]}),
        }

    def _project(self, asked: Json) -> Json | None:
        name = asked["name"]
        found = self._runs.project(asked.get("entityName") or self._entity, name, create=name.startswith(REGISTRY))
        return self._views.project(found) if found else None

    def _projects(self, entity: str) -> list[Json]:
        rows = self._store.rows("SELECT * FROM projects WHERE entity = ? ORDER BY id", entity)
        return [self._views.project(each) for each in rows]

    def _collection(self, asked: Json) -> Json | None:
        collection = number("ArtifactCollection", asked["id"])
        found = self._store.row("SELECT * FROM collections WHERE id = ?", collection)
        return self._views.collection(found) if found else None


class Mutations:
    """What can be changed."""

    def __init__(self, store: Store, runs: Runs, artifacts: Artifacts, views: ArtifactViews, entity: str) -> None:
        self._store = store
        self._runs = runs
        self._artifacts = artifacts
        self._views = views
        self._entity = entity

    def resolvers(self) -> dict[str, Resolver]:
        """Every mutation by its name; each has one argument, `input`."""
        fields: dict[str, Resolver] = {
            "upsertBucket": lambda given: self._runs.upsert({**given, **self._place(given)}),
            "upsertModel": self._upsert_project,
            "createRunFiles": self._runs.create_files,
            "markRunFilesUploaded": lambda _: {"success": True},
            "deleteFiles": self._runs.delete_files,
            "deleteRun": self._runs.delete,
            "stopRun": self._runs.stop,
            "updateRunState": self._runs.update_state,
            "rewindRun": self._runs.rewind,
            "notifyScriptableRunAlert": self._runs.alert,
            "createArtifact": self._create_artifact,
            "createArtifactManifest": self._artifacts.create_manifest,
            "updateArtifactManifest": self._artifacts.update_manifest,
            "createArtifactFiles": self._artifacts.create_files,
            "commitArtifact": lambda given: {"artifact": self._views.artifact(self._artifacts.commit(given))},
            "useArtifact": self._use_artifact,
            "updateArtifact": lambda given: {"artifact": self._views.artifact(self._artifacts.update(given))},
            "addAliases": self._artifacts.add_aliases,
            "deleteAliases": self._artifacts.delete_aliases,
            "deleteArtifact": self._artifacts.delete,
            "linkArtifact": self._link,
            "unlinkArtifact": self._artifacts.unlink,
        }
        return {name: _of_input(resolver) for name, resolver in fields.items()}

    def _place(self, given: Json) -> Json:
        return {
            "entityName": given.get("entityName") or self._entity,
            "modelName": given.get("modelName") or "uncategorized",
        }

    def _upsert_project(self, given: Json) -> Json:
        found = self._runs.project(given.get("entityName") or self._entity, given["name"], create=True)
        shown = self._views.project(found) if found else None
        return {"project": shown, "model": shown, "inserted": True}

    def _project_id(self, given: Json) -> int:
        found = self._runs.project(given["entityName"], given["projectName"], create=True)
        if found is None:
            raise Refused("The project does not exist.")
        return int(found["id"])

    def _create_artifact(self, given: Json) -> Json:
        run = None
        if given.get("runName"):
            run = self._runs.existing(given["entityName"], given["projectName"], given["runName"])["id"]
        return {"artifact": self._views.artifact(self._artifacts.create(given, self._project_id(given), run))}

    def _use_artifact(self, given: Json) -> Json:
        run = self._runs.existing(given["entityName"], given["projectName"], given["runName"])
        artifact = self._artifacts.artifact(number("Artifact", given["artifactID"]))
        self._store.write("INSERT OR IGNORE INTO usages VALUES (?, ?)", run["id"], artifact["id"])
        return {"artifact": self._views.artifact(artifact)}

    def _link(self, given: Json) -> Json:
        membership = self._artifacts.link(given, self._project_id(given))
        return {"versionIndex": membership["version"], "artifactMembership": self._views.membership(membership)}


def _of_input(resolver: Resolver) -> Resolver:
    return lambda asked: resolver(asked["input"])


def _organization(name: str) -> Json:
    entity = {"__typename": "Entity", "id": node_id("Entity", 1), "name": name, "entityType": "organization"}
    return {"id": node_id("Organization", 1), "name": name, "orgEntity": entity, "featureFlags": []}
