"""What a client may ask of artifacts, their collections and their files. It reads and changes nothing."""

from collections.abc import Callable

from finetune_sandbox.wandb_server.artifacts import INHERITED, Artifacts
from finetune_sandbox.wandb_server.graphql import Json, Refused, page
from finetune_sandbox.wandb_server.runs import Runs, timestamp
from finetune_sandbox.wandb_server.store import Row, Store, attributes, node_id

HAS_VERSION = "SELECT memberships.* FROM memberships WHERE collection = ? ORDER BY version DESC"


class ArtifactViews:
    """The reading half of the artifacts' API, over one store."""

    def __init__(self, store: Store, artifacts: Artifacts, runs: Runs, *, base: str) -> None:
        self._store = store
        self._artifacts = artifacts
        self._runs = runs
        self._base = base

    def project(self, row: Row) -> Json:
        """A project with its runs and artifacts."""
        return {
            **self._runs.project_view(row),
            "run": lambda asked: self._run_named(row, asked["name"]),
            "allowAllArtifactTypesInRegistry": True,
            "artifactType": lambda asked: self._type(row, asked["name"]),
            "artifactTypes": lambda asked: page(self._types(row), asked),
            "artifactCollection": lambda asked: self._collection_named(row, asked["name"]),
            "artifactCollections": lambda asked: page(self._collections(row, None), asked),
            "artifactCollectionMembership": lambda asked: self._membership_named(row, asked["name"]),
            "artifact": lambda asked: (self._membership_named(row, asked["name"]) or {}).get("artifact"),
        }

    def artifact(self, row: Row) -> Json:
        """One version, pending or committed."""
        told = attributes(row)
        sequence = self._row("SELECT * FROM collections WHERE id = ?", row["sequence"])
        home = self._store.row(
            "SELECT version FROM memberships WHERE artifact = ? AND collection = ?", row["id"], row["sequence"]
        )
        ttl = told["ttl"]
        return {
            "__typename": "Artifact",
            "id": node_id("Artifact", row["id"]),
            "artifactSequence": self.collection(sequence),
            "versionIndex": home["version"] if home else None,
            "artifactType": {"name": sequence["type"]},
            "description": told["description"],
            "metadata": told["metadata"],
            "ttlDurationSeconds": INHERITED if ttl is None else ttl,
            "ttlIsInherited": ttl in {None, INHERITED},
            "tags": [{"__typename": "Tag", "id": node_id("Tag", 1), "name": each} for each in told["tags"]],
            "historyStep": told["historyStep"],
            "state": row["state"],
            "size": told["size"],
            "digest": row["digest"],
            "digestAlgorithm": told["digestAlgorithm"],
            "commitHash": row["digest"][:20],
            "fileCount": told["fileCount"],
            "createdAt": timestamp(row["created"]),
            "updatedAt": timestamp(row["updated"]),
            "aliases": lambda _: self._aliases("artifact", row["id"]),
            "currentManifest": lambda _: self._current_manifest(row),
            "createdBy": lambda _: self._creator(row),
            "usedBy": lambda asked: page(self._users(row), asked),
            "artifactMemberships": lambda asked: page(self._memberships_of(row), asked),
            "files": lambda asked: page(_named(self._files(row), asked), asked),
        }

    def collection(self, row: Row) -> Json:
        """A sequence of versions or a registry's portfolio."""
        project = self._row("SELECT * FROM projects WHERE id = ?", row["project"])
        return {
            "__typename": row["kind"],
            "id": node_id("ArtifactCollection", row["id"]),
            "name": row["name"],
            "state": "READY",
            "description": row["description"],
            "createdAt": timestamp(row["created"]),
            "updatedAt": timestamp(row["created"]),
            "project": lambda _: self.project(project),
            "defaultArtifactType": {"name": row["type"]},
            "digestAlgorithm": "MANIFEST_MD5",
            "tags": {"edges": []},
            "aliases": lambda asked: page(self._aliases("collection", row["id"]), asked),
            "latestArtifact": lambda _: (self._pointed(row, "latest") or {}).get("artifact"),
            "artifactMembership": lambda asked: self._pointed(row, asked["aliasName"]),
            "artifacts": lambda asked: self._versions(row, asked),
        }

    def membership(self, row: Row) -> Json:
        """A version's place in one collection."""
        artifact = self._artifacts.artifact(row["artifact"])
        collection = self._row("SELECT * FROM collections WHERE id = ?", row["collection"])
        here = [each for each in self._aliases("artifact", row["artifact"]) if each["collection"] == row["collection"]]
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": node_id("ArtifactCollectionMembership", row["id"]),
            "versionIndex": row["version"],
            "createdAt": timestamp(row["created"]),
            "aliases": here,
            "artifactCollection": self.collection(collection),
            "artifact": self.artifact(artifact),
            "files": lambda asked: page(_named(self._files(artifact), asked), asked),
        }

    def _row(self, query: str, *values: object) -> Row:
        found = self._store.row(query, *values)
        if found is None:
            raise Refused("The record does not exist.")
        return found

    def _run_named(self, project: Row, name: str) -> Json | None:
        run = self._store.row("SELECT * FROM runs WHERE project = ? AND name = ?", project["id"], name)
        if run is None:
            return None
        return {
            **self._runs.view(run),
            "outputArtifacts": lambda asked: page(self._outputs(run), asked),
            "inputArtifacts": lambda asked: page(self._inputs(run), asked),
        }

    def _outputs(self, run: Row) -> list[Json]:
        query = "SELECT * FROM artifacts WHERE run = ? AND state = 'COMMITTED' ORDER BY id"
        return [self.artifact(each) for each in self._store.rows(query, run["id"])]

    def _inputs(self, run: Row) -> list[Json]:
        query = (
            "SELECT artifacts.* FROM artifacts JOIN usages ON artifact = artifacts.id"
            " WHERE usages.run = ? AND state = 'COMMITTED' ORDER BY id"
        )
        return [self.artifact(each) for each in self._store.rows(query, run["id"])]

    def _type(self, project: Row, name: str) -> Json | None:
        return next((each for each in self._types(project) if each["name"] == name), None)

    def _types(self, project: Row) -> list[Json]:
        rows = self._store.rows(
            "SELECT MIN(id) AS id, type, MIN(created) AS created FROM collections WHERE project = ? GROUP BY type",
            project["id"],
        )
        return [self._type_view(project, each) for each in rows]

    def _type_view(self, project: Row, row: Row) -> Json:
        kind = row["type"]
        return {
            "__typename": "ArtifactType",
            "id": node_id("ArtifactType", row["id"]),
            "name": kind,
            "description": None,
            "createdAt": timestamp(row["created"]),
            "artifactCollection": lambda asked: self._collection_named(project, asked["name"], kind),
            "artifactCollections": lambda asked: page(self._collections(project, kind), asked),
        }

    def _collections(self, project: Row, kind: str | None) -> list[Json]:
        rows = self._store.rows("SELECT * FROM collections WHERE project = ? ORDER BY id", project["id"])
        return [self.collection(each) for each in rows if kind in {None, each["type"]}]

    def _collection_named(self, project: Row, name: str, kind: str | None = None) -> Json | None:
        found = self._store.row("SELECT * FROM collections WHERE project = ? AND name = ?", project["id"], name)
        return self.collection(found) if found and kind in {None, found["type"]} else None

    def _membership_named(self, project: Row, name: str) -> Json | None:
        collection, _, alias = name.partition(":")
        found = self._store.row("SELECT * FROM collections WHERE project = ? AND name = ?", project["id"], collection)
        return self._pointed(found, alias or "latest") if found else None

    def _pointed(self, collection: Row, alias: str) -> Json | None:
        if alias[:1] == "v" and alias[1:].isdigit():
            query = "SELECT * FROM memberships WHERE collection = ? AND version = ?"
            found = self._store.row(query, collection["id"], int(alias[1:]))
        else:
            found = self._store.row(
                "SELECT memberships.* FROM memberships JOIN aliases USING (collection, artifact)"
                " WHERE collection = ? AND alias = ?",
                collection["id"],
                alias,
            )
        return self.membership(found) if found else None

    def _versions(self, collection: Row, asked: Json) -> Json:
        """Newest first unless asked otherwise, as the public API has it."""
        rows = self._store.rows(HAS_VERSION, collection["id"])
        if str(asked.get("order") or "").startswith("+"):
            rows = rows[::-1]
        numbers = {row["artifact"]: row["version"] for row in rows}
        nodes = [
            {**self.artifact(self._artifacts.artifact(each)), "number": version} for each, version in numbers.items()
        ]
        return page(nodes, asked, extra=lambda node: {"version": f"v{node['number']}"})

    def _memberships_of(self, artifact: Row) -> list[Json]:
        query = "SELECT * FROM memberships WHERE artifact = ? ORDER BY id"
        return [self.membership(each) for each in self._store.rows(query, artifact["id"])]

    def _aliases(self, column: str, number: int) -> list[Json]:
        rows = self._store.rows(f"SELECT * FROM aliases WHERE {column} = ? ORDER BY id", number)  # noqa: S608 - our names.
        return [
            {
                "__typename": "ArtifactAlias",
                "id": node_id("ArtifactAlias", each["id"]),
                "alias": each["alias"],
                "collection": each["collection"],
                "artifactCollection": self._lazily(each["collection"]),
            }
            for each in rows
        ]

    def _lazily(self, collection: int) -> Callable[[Json], Json]:
        return lambda _: self.collection(self._row("SELECT * FROM collections WHERE id = ?", collection))

    def _current_manifest(self, artifact: Row) -> Json | None:
        query = "SELECT * FROM manifests WHERE artifact = ? ORDER BY id DESC"
        found = self._store.row(query, artifact["id"])
        if found is None:
            return None
        url = f"{self._base}/storage/{found['blob']}"
        file = {"id": node_id("File", found["id"]), "directUrl": url}
        return {"id": node_id("ArtifactManifest", found["id"]), "digest": found["digest"], "file": file}

    def _creator(self, artifact: Row) -> Json | None:
        found = self._store.row("SELECT * FROM runs WHERE id = ?", artifact["run"])
        return self._runs.view(found) if found else None

    def _users(self, artifact: Row) -> list[Json]:
        query = "SELECT runs.* FROM runs JOIN usages ON usages.run = runs.id WHERE artifact = ? ORDER BY runs.id"
        return [self._runs.view(each) for each in self._store.rows(query, artifact["id"])]

    def _files(self, artifact: Row) -> list[Json]:
        query = (
            "SELECT name, artifact_files.md5, blob, size FROM artifact_files JOIN blobs ON blob = key"
            " WHERE artifact = ? AND size IS NOT NULL ORDER BY name"
        )
        return [self._file(artifact, each) for each in self._store.rows(query, artifact["id"])]

    def _file(self, artifact: Row, row: Row) -> Json:
        url = f"{self._base}/storage/{row['blob']}"
        return {
            "__typename": "File",
            "id": node_id("File", artifact["id"]),
            "name": row["name"],
            "displayName": row["name"],
            "url": url,
            "directUrl": url,
            "sizeBytes": row["size"],
            "storagePath": f"wandb_artifacts/{row['blob']}",
            "mimetype": "application/octet-stream",
            "updatedAt": timestamp(artifact["updated"]),
            "digest": row["md5"],
            "md5": row["md5"],
        }


def _named(files: list[Json], asked: Json) -> list[Json]:
    wanted = asked.get("names")
    return [each for each in files if not wanted or each["name"] in wanted]
