"""An API server in memory for the few kinds that we use, and no more.

It keeps to what a real one does: versions, conflicts, watches that expire, graceful deletion, owner references. One
suite runs over both. Deletion of dependents, which the real one leaves to a controller, is immediate.
"""

import copy
import uuid
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_operator.cluster.port import (
    JOB,
    NODE,
    POD,
    AlreadyExists,
    Change,
    Conflict,
    Kind,
    Listing,
    Manifest,
    NotFound,
    Refused,
    Selection,
)

from finetune_sandbox.memory_admission import admitted, admitted_status, updated
from finetune_sandbox.memory_store import Store
from finetune_sandbox.node_api import NAMESPACE, PRIORITY_CLASS, disrupt, is_going, is_terminal

CLUSTER_SCOPED = frozenset({NODE, NAMESPACE, PRIORITY_CLASS})
WITH_STATUS = frozenset({JOB, POD, NODE})
WITH_GENERATION = frozenset({JOB, POD})
SERVER_OWNED = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


def utc_now() -> datetime:
    """The clock on the wall."""
    return datetime.now(UTC)


class MemoryApi:
    """A `NodeApi` in memory, with the namespaces `default` and `kube-system`."""

    def __init__(
        self, *, now: Callable[[], datetime] = utc_now, history: int = 4096, bookmark_seconds: float = 30
    ) -> None:
        self.store = Store(history)
        self._now = now
        self._bookmark_seconds = bookmark_seconds
        for name in ("default", "kube-system", "kube-node-lease"):
            self.store.write(NAMESPACE, self._stamped(NAMESPACE, {"metadata": {"name": name}}))

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """See `Cluster.get`."""
        return self.store.find(kind, namespace, name)

    async def list(self, selection: Selection) -> Listing:
        """See `Cluster.list`."""
        return self.store.listing(selection)

    def watch(self, selection: Selection, resource_version: str) -> AsyncGenerator[Change]:
        """See `Cluster.watch`; it ends only by `store.cut_watches`."""
        return self.store.changes(selection, int(resource_version), self._bookmark_seconds)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """See `Cluster.create`."""
        new = self._stamped(kind, manifest)
        place = self._place(kind, new)
        if self.store.find(kind, *place):
            raise AlreadyExists(f'{_resource(kind)} "{place[1]}" already exists')
        created = self.store.write(kind, admitted(kind, new, self._priorities()))
        if self._owners_are_gone(created):
            self._delete(kind, created, None)
        return created

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """See `Cluster.replace`."""
        name = manifest["metadata"]["name"]
        old = self._found(kind, manifest["metadata"].get("namespace"), name)
        if manifest["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise _modified(kind, name)
        new = copy.deepcopy(manifest)
        new["metadata"] |= {key: old["metadata"][key] for key in SERVER_OWNED if key in old["metadata"]}
        if kind in WITH_STATUS and "status" in old:
            new["status"] = old["status"]
        new = updated(kind, new, old)
        if kind in WITH_GENERATION and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] += 1
        return self._written(kind, new, old)

    async def patch_status(
        self, kind: Kind, namespace: str | None, name: str, status: Manifest, *, resource_version: str | None = None
    ) -> Manifest:
        """See `Cluster.patch_status`."""
        if kind not in WITH_STATUS:
            raise NotFound(f"{_resource(kind)} have no status")
        old = self._found(kind, namespace, name)
        if resource_version not in {None, old["metadata"]["resourceVersion"]}:
            raise _modified(kind, name)
        patched = admitted_status(kind, name, _merged(copy.deepcopy(old.get("status") or {}), status))
        return self._written(kind, {**old, "status": patched}, old)

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """See `Cluster.delete`."""
        found = self.store.find(kind, namespace, name)
        if found is None:
            return
        present = found["metadata"]["uid"]
        if uid not in {None, present}:
            raise Conflict(
                f'Operation cannot be fulfilled on {_resource(kind)} "{name}": '
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {present}"
            )
        self._delete(kind, found, grace_seconds)

    async def bind(self, namespace: str, pod: str, node: str) -> None:
        """See `NodeApi.bind`."""
        found = self._found(POD, namespace, pod)
        if bound := found["spec"].get("nodeName"):
            raise Conflict(
                f'Operation cannot be fulfilled on pods/binding "{pod}": pod is already assigned to "{bound}"'
            )
        found["spec"]["nodeName"] = node
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self._timestamp()}
        others = [each for each in found["status"].get("conditions", []) if each["type"] != "PodScheduled"]
        found["status"]["conditions"] = [*others, scheduled]
        self.store.write(POD, found)

    async def evict(self, namespace: str, pod: str) -> None:
        """See `NodeApi.evict`."""
        found = self._found(POD, namespace, pod)
        reason, message = "EvictionByEvictionAPI", "Eviction API: evicting"
        if is_terminal(found):
            self._delete(POD, found, None)
        else:
            await disrupt(self, found, reason=reason, message=message, now=self._timestamp())

    def _stamped(self, kind: Kind, manifest: Manifest) -> Manifest:
        new = copy.deepcopy(manifest)
        metadata = new["metadata"]
        if "name" not in metadata and "generateName" in metadata:
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if kind not in CLUSTER_SCOPED:
            metadata.setdefault("namespace", "default")
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._timestamp()}
        if kind in WITH_GENERATION:
            metadata["generation"] = 1
        if kind == JOB:
            new.pop("status", None)
        return {"apiVersion": kind.api_version, "kind": kind.kind, **new}

    def _place(self, kind: Kind, manifest: Manifest) -> tuple[str | None, str]:
        namespace: str | None = manifest["metadata"].get("namespace")
        name: str = manifest["metadata"]["name"]
        if kind in CLUSTER_SCOPED:
            return None, name
        home = self.store.find(NAMESPACE, None, namespace or "")
        if home is None:
            raise Refused(f'namespaces "{namespace}" not found')
        if is_going(home):
            raise Refused(
                f'{_resource(kind)} "{name}" is forbidden: unable to create new content in namespace {namespace} '
                "because it is being terminated"
            )
        return namespace, name

    def _found(self, kind: Kind, namespace: str | None, name: str) -> Manifest:
        found = self.store.find(kind, namespace, name)
        if found is None:
            raise NotFound(f'{_resource(kind)} "{name}" not found')
        return found

    def _written(self, kind: Kind, new: Manifest, old: Manifest) -> Manifest:
        """Store what has changed; a write that changes nothing has no version."""
        if new == old:
            return old
        if is_going(new) and old["metadata"].get("finalizers") and not new["metadata"].get("finalizers"):
            self._remove(kind, new)
            return new
        return self.store.write(kind, new)

    def _delete(self, kind: Kind, found: Manifest, grace_seconds: int | None) -> None:
        grace = _grace(kind, found, grace_seconds)
        metadata = found["metadata"]
        waits = grace > 0 or metadata.get("finalizers") or kind == NAMESPACE
        shortens = not is_going(found) or grace < metadata.get("deletionGracePeriodSeconds", 0)
        if shortens and (waits or is_going(found)):
            if kind in WITH_GENERATION and not is_going(found):
                metadata["generation"] += 1
            metadata["deletionTimestamp"] = self._timestamp(grace)
            metadata["deletionGracePeriodSeconds"] = grace
            found = self.store.write(kind, found)
        if kind == NAMESPACE:
            self._empty(found)
        elif not waits:
            self._remove(kind, found)

    def _remove(self, kind: Kind, manifest: Manifest) -> None:
        self.store.remove(kind, manifest)
        uid = manifest["metadata"]["uid"]
        for key, dependent in self.store.all():
            owners = dependent["metadata"].get("ownerReferences", ())
            orphaned = any(owner["uid"] == uid for owner in owners) and self._owners_are_gone(dependent)
            if orphaned and (still := self.store.find(*key)):
                self._delete(key[0], still, None)
        home = self.store.find(NAMESPACE, None, manifest["metadata"].get("namespace") or "")
        if home and is_going(home):
            self._remove_if_empty(home)

    def _empty(self, namespace: Manifest) -> None:
        name = namespace["metadata"]["name"]
        for key, _ in self.store.all():
            if key[1] == name and (still := self.store.find(*key)):
                self._delete(key[0], still, None)
        self._remove_if_empty(namespace)

    def _remove_if_empty(self, namespace: Manifest) -> None:
        name = namespace["metadata"]["name"]
        if self.store.find(NAMESPACE, None, name) and not any(key[1] == name for key, _ in self.store.all()):
            self.store.remove(NAMESPACE, namespace)

    def _owners_are_gone(self, manifest: Manifest) -> bool:
        owners = {owner["uid"] for owner in manifest["metadata"].get("ownerReferences", ())}
        return bool(owners) and not any(each["metadata"]["uid"] in owners for _, each in self.store.all())

    def _priorities(self) -> dict[str, int]:
        classes = self.store.listing(Selection(kind=PRIORITY_CLASS)).items
        return {each["metadata"]["name"]: each["value"] for each in classes}

    def _timestamp(self, plus_seconds: int = 0) -> str:
        return (self._now() + timedelta(seconds=plus_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _resource(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def _modified(kind: Kind, name: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {_resource(kind)} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def _grace(kind: Kind, manifest: Manifest, wanted: int | None) -> int:
    """Only a pod on a node has a process that needs time."""
    if kind != POD or not manifest["spec"].get("nodeName") or is_terminal(manifest):
        return 0
    own: int = manifest["spec"]["terminationGracePeriodSeconds"]
    return own if wanted is None else wanted


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
