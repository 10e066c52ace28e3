"""Artifacts: versions of files in collections, pending until all bytes are there, and the names that point at them."""

import json
from typing import Any

from finetune_sandbox.wandb_server.graphql import Json, Refused
from finetune_sandbox.wandb_server.store import Row, Store, attributes, node_id, number

INHERITED, DISABLED = -1, -2
"""What a client may say instead of a time to live."""


class Artifacts:
    """What changes artifacts, over one store."""

    def __init__(self, store: Store, *, base: str, now: float) -> None:
        self._store = store
        self._base = base
        self._now = now

    def create(self, given: Json, project: int, run: int | None) -> Row:
        """A new version, pending; or the version that has the same content already, with the new aliases."""
        name = (given.get("artifactCollectionNames") or [given.get("artifactCollectionName")])[0]
        with self._store.transaction():
            sequence = self.collection(project, name, "ArtifactSequence", given["artifactTypeName"])
            same = self._store.row(
                "SELECT * FROM artifacts WHERE sequence = ? AND digest = ? AND state = 'COMMITTED'",
                sequence["id"],
                given["digest"],
            )
            aliases = [each["alias"] for each in given.get("aliases") or ()]
            if same and given.get("enableDigestDeduplication"):
                self._point(sequence["id"], same["id"], aliases)
                return same
            artifact = self._store.write(
                "INSERT INTO artifacts (sequence, state, digest, run, client_id, created, updated, attributes)"
                " VALUES (?, 'PENDING', ?, ?, ?, ?, ?, ?)",
                sequence["id"],
                given["digest"],
                run,
                given.get("clientID"),
                self._now,
                self._now,
                json.dumps(_told(given, aliases)),
            )
        return self.artifact(artifact)

    def collection(self, project: int, name: str, kind: str, artifact_type: str) -> Row:
        """The collection of that name, made if there is none; its type is what its first version had."""
        query = "SELECT * FROM collections WHERE project = ? AND name = ?"
        found = self._store.row(query, project, name)
        if found is None:
            self._store.write(
                "INSERT INTO collections (project, name, kind, type, created) VALUES (?, ?, ?, ?, ?)",
                project,
                name,
                kind,
                artifact_type,
                self._now,
            )
            found = self._store.row(query, project, name)
        if found is None or found["type"] != artifact_type or found["kind"] != kind:
            raise Refused(f"The collection {name!r} holds artifacts of another type than {artifact_type!r}.")
        return found

    def artifact(self, artifact: int) -> Row:
        """The artifact's record."""
        found = self._store.row("SELECT * FROM artifacts WHERE id = ? AND state != 'DELETED'", artifact)
        if found is None:
            raise Refused("The artifact does not exist.")
        return found

    def create_manifest(self, given: Json) -> Json:
        """A place for an artifact's manifest; asked for again under its name it is the same place."""
        artifact = self.artifact(number("Artifact", given["artifactID"]))
        query = "SELECT * FROM manifests WHERE artifact = ? AND name = ?"
        found = self._store.row(query, artifact["id"], given["name"])
        if found is None:
            self._store.write(
                "INSERT INTO manifests (artifact, name, digest, blob) VALUES (?, ?, ?, ?)",
                artifact["id"],
                given["name"],
                given["digest"],
                self._store.new_blob(),
            )
            found = self._store.row(query, artifact["id"], given["name"])
        return {"artifactManifest": self._manifest(found)}

    def update_manifest(self, given: Json) -> Json:
        """Another digest for a manifest whose place is known."""
        manifest = number("ArtifactManifest", given["artifactManifestID"])
        self._store.write("UPDATE manifests SET digest = ? WHERE id = ?", given.get("digest"), manifest)
        return {"artifactManifest": self._manifest(self._store.row("SELECT * FROM manifests WHERE id = ?", manifest))}

    def _manifest(self, row: Row | None) -> Json:
        if row is None:
            raise Refused("The manifest does not exist.")
        url = f"{self._base}/storage/{row['blob']}"
        file = {"id": node_id("File", row["id"]), "uploadUrl": url, "directUrl": url, "uploadHeaders": []}
        return {"id": node_id("ArtifactManifest", row["id"]), "digest": row["digest"], "file": file}

    def create_files(self, given: Json) -> Json:
        """Where to put each file, in the order asked; nowhere when the server has those bytes already."""
        with self._store.transaction():
            nodes = [self._file(each) for each in given["artifactFiles"]]
        return {"files": {"edges": [{"node": each} for each in nodes]}}

    def _file(self, wanted: Json) -> Json:
        artifact = self.artifact(number("Artifact", wanted["artifactID"]))
        known = self._blob(wanted["md5"])
        key = known["key"] if known else self._store.new_blob(wanted["md5"])
        self._store.write(
            "INSERT OR REPLACE INTO artifact_files VALUES (?, ?, ?, ?)",
            artifact["id"],
            wanted["name"],
            wanted["md5"],
            key,
        )
        return {
            "storagePath": f"wandb_artifacts/{key}",
            "uploadUrl": None if known else f"{self._base}/storage/{key}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": wanted["artifactID"]},
        }

    def _blob(self, md5: str) -> Row | None:
        return self._store.row("SELECT * FROM blobs WHERE expected = ? AND size IS NOT NULL", md5)

    def commit(self, given: Json) -> Row:
        """Make a pending version count: it gets its number, its aliases move; refused while bytes are missing."""
        artifact = self.artifact(number("Artifact", given["artifactID"]))
        if artifact["state"] == "COMMITTED":
            return artifact
        with self._store.transaction():
            told = attributes(artifact) | self._contents(artifact)
            self._store.write(
                "UPDATE artifacts SET state = 'COMMITTED', attributes = ?, updated = ? WHERE id = ?",
                json.dumps(told),
                self._now,
                artifact["id"],
            )
            self._join(artifact["sequence"], artifact["id"])
            self._point(artifact["sequence"], artifact["id"], told["aliases"])
        return self.artifact(artifact["id"])

    def _contents(self, artifact: Row) -> Json:
        manifest = self.manifest(artifact["id"])
        stored = {path: each for path, each in manifest["contents"].items() if "ref" not in each}
        for path, each in stored.items():
            blob = self._blob(each["digest"])
            if blob is None:
                raise Refused(f"The artifact is incomplete: the bytes of {path!r} have not been uploaded.")
            self._store.write(
                "INSERT OR REPLACE INTO artifact_files VALUES (?, ?, ?, ?)",
                artifact["id"],
                path,
                each["digest"],
                blob["key"],
            )
        size = sum(int(each.get("size", 0)) for each in manifest["contents"].values())
        return {"size": size, "fileCount": len(manifest["contents"])}

    def manifest(self, artifact: int) -> Json:
        """The manifest that the client has put last."""
        row = self._store.row(
            "SELECT manifests.blob FROM manifests JOIN blobs ON blob = key"
            " WHERE artifact = ? AND size IS NOT NULL ORDER BY id DESC",
            artifact,
        )
        if row is None:
            raise Refused("The artifact is incomplete: its manifest has not been uploaded.")
        found: Json = json.loads(self._store.blob(row["blob"]))
        return found

    def _join(self, collection: int, artifact: int) -> int:
        query = "SELECT version FROM memberships WHERE collection = ? AND artifact = ?"
        found = self._store.row(query, collection, artifact)
        if found:
            return int(found["version"])
        version = self._store.count("SELECT next_version FROM collections WHERE id = ?", collection)
        self._store.write("UPDATE collections SET next_version = ? WHERE id = ?", version + 1, collection)
        self._store.write(
            "INSERT INTO memberships (collection, artifact, version, created) VALUES (?, ?, ?, ?)",
            collection,
            artifact,
            version,
            self._now,
        )
        return version

    def _point(self, collection: int, artifact: int, aliases: list[str]) -> None:
        for alias in aliases:
            self._store.write("DELETE FROM aliases WHERE collection = ? AND alias = ?", collection, alias)
            self._store.write(
                "INSERT INTO aliases (collection, alias, artifact) VALUES (?, ?, ?)", collection, alias, artifact
            )

    def update(self, given: Json) -> Row:
        """Change what is said of a version; null leaves it alone."""
        artifact = self.artifact(number("Artifact", given["artifactID"]))
        told = attributes(artifact)
        told |= {key: given[key] for key in ("description", "metadata") if given.get(key) is not None}
        if given.get("ttlDurationSeconds") is not None:
            told["ttl"] = given["ttlDurationSeconds"]
        removed = {each["tagName"] for each in given.get("tagsToDelete") or ()}
        added = [each["tagName"] for each in given.get("tagsToAdd") or ()]
        told["tags"] = list(dict.fromkeys([each for each in told["tags"] if each not in removed] + added))
        self._store.write(
            "UPDATE artifacts SET attributes = ?, updated = ? WHERE id = ?", json.dumps(told), self._now, artifact["id"]
        )
        return self.artifact(artifact["id"])

    def named(self, each: Json) -> Row:
        """The collection that an alias input names."""
        found = self._store.row(
            "SELECT collections.* FROM collections JOIN projects ON project = projects.id"
            " WHERE entity = ? AND projects.name = ? AND collections.name = ?",
            each["entityName"],
            each["projectName"],
            each["artifactCollectionName"],
        )
        if found is None:
            raise Refused(f"The collection {each['artifactCollectionName']!r} does not exist.")
        return found

    def add_aliases(self, given: Json) -> Json:
        """Let aliases point at a version."""
        artifact = self.artifact(number("Artifact", given["artifactID"]))
        with self._store.transaction():
            for each in given["aliases"]:
                self._point(self.named(each)["id"], artifact["id"], [each["alias"]])
        return {"success": True}

    def delete_aliases(self, given: Json) -> Json:
        """Take aliases from a version."""
        artifact = number("Artifact", given["artifactID"])
        for each in given["aliases"]:
            self._store.write(
                "DELETE FROM aliases WHERE collection = ? AND alias = ? AND artifact = ?",
                self.named(each)["id"],
                each["alias"],
                artifact,
            )
        return {"success": True}

    def delete(self, given: Json) -> Json:
        """Delete a version and the bytes that nothing else has; one with aliases only when they may go too."""
        artifact = self.artifact(number("Artifact", given["artifactID"]))
        aliased = self._store.row("SELECT 1 FROM aliases WHERE artifact = ?", artifact["id"])
        if aliased and not given.get("deleteAliases"):
            raise Refused("The artifact has aliases: pass delete_aliases=True to delete it with them.")
        self._remove(artifact["id"])
        return {"artifact": {"id": node_id("Artifact", artifact["id"])}}

    def expire(self) -> None:
        """Delete the versions whose time to live is over; one that is linked lives on."""
        for each in self._store.rows("SELECT * FROM artifacts WHERE state = 'COMMITTED'"):
            ttl = attributes(each)["ttl"]
            linked = self._store.count("SELECT COUNT(*) FROM memberships WHERE artifact = ?", each["id"]) > 1
            if ttl and ttl > 0 and each["created"] + ttl < self._now and not linked:
                self._remove(each["id"])

    def _remove(self, artifact: int) -> None:
        keys = [
            each["blob"]
            for each in self._store.rows(
                "SELECT blob FROM artifact_files WHERE artifact = ?"
                " UNION SELECT blob FROM manifests WHERE artifact = ?",
                artifact,
                artifact,
            )
        ]
        with self._store.transaction():
            for table in ("aliases", "memberships", "artifact_files", "manifests"):
                self._store.write(f"DELETE FROM {table} WHERE artifact = ?", artifact)  # noqa: S608 - our own names.
            self._store.write("UPDATE artifacts SET state = 'DELETED', updated = ? WHERE id = ?", self._now, artifact)
            free = [key for key in keys if not self._store.row("SELECT 1 FROM artifact_files WHERE blob = ?", key)]
            for key in free:
                self._store.write("DELETE FROM blobs WHERE key = ?", key)
        for key in free:
            self._store.blob_path(key).unlink(missing_ok=True)

    def link(self, given: Json, project: int) -> Row:
        """Put a version into a registry's collection, where it gets a number of its own and becomes the latest."""
        artifact = self._linked(given)
        sequence = self._store.row("SELECT * FROM collections WHERE id = ?", artifact["sequence"])
        if sequence is None:
            raise Refused("The artifact's collection does not exist.")
        with self._store.transaction():
            name = given["artifactPortfolioName"]
            portfolio = self.collection(project, name, "ArtifactPortfolio", sequence["type"])
            self._join(portfolio["id"], artifact["id"])
            aliases = [each["alias"] for each in given.get("aliases") or ()]
            self._point(portfolio["id"], artifact["id"], [*aliases, "latest"])
            found = self._store.row(
                "SELECT * FROM memberships WHERE collection = ? AND artifact = ?", portfolio["id"], artifact["id"]
            )
        if found is None:
            raise Refused("The artifact could not be linked.")
        return found

    def _linked(self, given: Json) -> Row:
        if given.get("artifactID"):
            return self.artifact(number("Artifact", given["artifactID"]))
        return self.by_client(given["clientID"])

    def by_client(self, client: str) -> Row:
        """The artifact that a client knows by a name of its own."""
        found = self._store.row("SELECT * FROM artifacts WHERE client_id = ? AND state != 'DELETED'", client)
        if found is None:
            raise Refused("The artifact does not exist.")
        return found

    def unlink(self, given: Json) -> Json:
        """Take a version out of a registry's collection."""
        collection = number("ArtifactCollection", given["artifactPortfolioID"])
        artifact = number("Artifact", given["artifactID"])
        for table in ("aliases", "memberships"):
            self._store.write(
                f"DELETE FROM {table} WHERE artifact = ? AND collection = ?",  # noqa: S608 - our own names.
                artifact,
                collection,
            )
        return {"success": True}


def _told(given: Json, aliases: list[str]) -> Json:
    told: dict[str, Any] = {
        "description": given.get("description"),
        "metadata": given.get("metadata"),
        "ttl": given.get("ttlDurationSeconds"),
        "historyStep": given.get("historyStep"),
        "digestAlgorithm": given.get("digestAlgorithm") or "MANIFEST_MD5",
        "tags": [each["tagName"] for each in given.get("tags") or ()],
        "aliases": aliases,
        "size": 0,
        "fileCount": 0,
    }
    return told
