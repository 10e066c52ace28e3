"""What nodes and schedulers ask of a cluster beyond what the operator asks, as a protocol.

`memory_api` implements it in memory, `real_api` over the Kubernetes API; one suite holds both to it.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from finetune_operator.cluster.port import POD, Cluster, Conflict, Kind, Manifest

NAMESPACE = Kind(group="", version="v1", plural="namespaces", kind="Namespace")
PRIORITY_CLASS = Kind(group="scheduling.k8s.io", version="v1", plural="priorityclasses", kind="PriorityClass")

DISRUPTION_TARGET = "DisruptionTarget"


class NodeApi(Cluster, Protocol):
    """A cluster's API with the subresources that only nodes, schedulers and administrators use."""

    async def bind(self, namespace: str, pod: str, node: str) -> None:
        """Assign a pod to a node, once; `Conflict` when it has one."""

    async def evict(self, namespace: str, pod: str) -> None:
        """Ask the eviction API to end a pod: it is marked as a disruption target, then deleted with its grace."""


Change = Callable[[Manifest], Manifest | None]
"""A new status made from the object, None when there is nothing to change."""


async def change_status(api: Cluster, kind: Kind, namespace: str | None, name: str, change: Change) -> Manifest | None:
    """Change an object's status however often somebody else is quicker; None when the object is gone.

    A merge patch replaces lists as a whole, so conditions of others would be lost without the version's guard.
    """
    while True:
        found = await api.get(kind, namespace, name)
        if found is None or (status := change(found)) is None:
            return found
        try:
            version = found["metadata"]["resourceVersion"]
            return await api.patch_status(kind, namespace, name, status, resource_version=version)
        except Conflict:
            await asyncio.sleep(0)


def with_condition(conditions: list[Manifest], new: Manifest) -> list[Manifest]:
    """The conditions with this one in place of the one of its type; its transition time stays while its status does."""
    old = condition(conditions, new["type"])
    if old and old["status"] == new["status"] and "lastTransitionTime" in old:
        new = new | {"lastTransitionTime": old["lastTransitionTime"]}
    return [*(each for each in conditions if each["type"] != new["type"]), new]


def condition(conditions: list[Manifest], kind: str) -> Manifest | None:
    """The condition of this type."""
    return next((each for each in conditions if each["type"] == kind), None)


async def disrupt(api: Cluster, pod: Manifest, *, reason: str, message: str, now: str) -> None:
    """Mark a pod as a disruption target and delete it with its grace, as scheduler and eviction API do."""
    target = {
        "type": DISRUPTION_TARGET,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": now,
    }

    def marked(found: Manifest) -> Manifest | None:
        if found["metadata"]["uid"] != pod["metadata"]["uid"]:
            return None
        return {"conditions": with_condition(found["status"].get("conditions", []), target)}

    place: tuple[str, str] = (pod["metadata"]["namespace"], pod["metadata"]["name"])
    await change_status(api, POD, *place, marked)
    await api.delete(POD, *place, uid=pod["metadata"]["uid"])


def is_terminal(pod: Manifest) -> bool:
    """Whether a pod has ended by its phase, which comes after its container statuses."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def is_going(manifest: Manifest) -> bool:
    """Whether somebody has asked for its deletion."""
    return "deletionTimestamp" in manifest["metadata"]
