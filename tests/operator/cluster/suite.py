"""What every `port.Cluster` must do. A subclass gives the fixtures `cluster` and `namespace` and inherits the claims.

The real API server is the judge: where a stand-in differs, the stand-in is wrong.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from finetune_operator.cluster.port import (
    CONFIG_MAP,
    EVENT,
    LEASE,
    POD,
    AlreadyExists,
    Change,
    ChangeType,
    Cluster,
    Conflict,
    Expired,
    Kind,
    Manifest,
    NotFound,
    Refused,
    Selection,
)

PATIENCE_SECONDS = 20


def config_map(namespace: str, name: str = "a", **labels: str) -> Manifest:
    """A small object that has no controller."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": {"key": "value"},
    }


def pod(namespace: str, name: str = "a") -> Manifest:
    """A pod that no node will take."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"job": "a"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "trainer", "image": "none"}],
            "nodeSelector": {"absent": "true"},
        },
    }


async def heard(changes: AsyncGenerator[Change], number: int) -> list[tuple[ChangeType, str]]:
    """The next changes that are no bookmarks, as type and name."""
    found: list[tuple[ChangeType, str]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for change in changes:
            if change.type is not ChangeType.BOOKMARK:
                found.append((change.type, change.object["metadata"]["name"]))
            if len(found) == number:
                return found
    return found


class ClusterSuite:
    """The claims."""

    def selection(self, namespace: str, kind: Kind = CONFIG_MAP, **labels: str | None) -> Selection:
        """Objects that a claim is about; a real namespace holds objects of others too."""
        return Selection(kind=kind, namespace=namespace, labels=labels)

    async def test_an_object_that_is_absent_is_none(self, cluster: Cluster, namespace: str) -> None:
        assert await cluster.get(CONFIG_MAP, namespace, "absent") is None

    async def test_what_was_created_can_be_read(self, cluster: Cluster, namespace: str) -> None:
        created = await cluster.create(CONFIG_MAP, config_map(namespace))
        assert await cluster.get(CONFIG_MAP, namespace, "a") == created

    async def test_the_server_gives_uid_version_and_time(self, cluster: Cluster, namespace: str) -> None:
        created = await cluster.create(CONFIG_MAP, config_map(namespace))
        assert {"uid", "resourceVersion", "creationTimestamp"} <= created["metadata"].keys()

    async def test_a_version_is_a_number_that_grows(self, cluster: Cluster, namespace: str) -> None:
        first = await cluster.create(CONFIG_MAP, config_map(namespace))
        second = await cluster.create(CONFIG_MAP, config_map(namespace, "b"))
        assert int(first["metadata"]["resourceVersion"]) < int(second["metadata"]["resourceVersion"])

    async def test_a_name_can_be_created_once(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAP, config_map(namespace))
        with pytest.raises(AlreadyExists, match="already exists"):
            await cluster.create(CONFIG_MAP, config_map(namespace))

    async def test_a_namespace_that_is_absent_is_refused(self, cluster: Cluster) -> None:
        with pytest.raises(Refused, match="not found"):
            await cluster.create(CONFIG_MAP, config_map("nowhere"))

    async def test_an_amount_that_is_none_is_refused(self, cluster: Cluster, namespace: str) -> None:
        container = {"name": "a", "image": "none", "resources": {"requests": {"memory": "16GB"}}}
        pod = {"metadata": {"name": "a", "namespace": namespace}, "spec": {"containers": [container]}}
        with pytest.raises(Refused, match="cannot be handled as a Pod: quantities must match the regular expression"):
            await cluster.create(POD, pod)

    async def test_a_list_selects_by_label_and_by_presence(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAP, config_map(namespace, "a", job="x", node="1"))
        await cluster.create(CONFIG_MAP, config_map(namespace, "b", job="y"))
        equal = await cluster.list(self.selection(namespace, job="x"))
        present = await cluster.list(self.selection(namespace, job=None))
        assert ([names(equal.items), names(present.items)]) == [["a"], ["a", "b"]]

    async def test_a_list_over_all_namespaces_finds_ours(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAP, config_map(namespace, "a", only=namespace))
        listing = await cluster.list(Selection(kind=CONFIG_MAP, labels={"only": namespace}))
        assert names(listing.items) == ["a"]

    async def test_listed_objects_say_what_they_are(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAP, config_map(namespace, job="x"))
        (item,) = (await cluster.list(self.selection(namespace, job="x"))).items
        assert (item["apiVersion"], item["kind"]) == ("v1", "ConfigMap")

    async def test_a_watch_goes_on_from_a_list(self, cluster: Cluster, namespace: str) -> None:
        wanted = self.selection(namespace, job=None)
        await cluster.create(CONFIG_MAP, config_map(namespace, "before", job="x"))
        version = (await cluster.list(wanted)).resource_version
        await cluster.create(CONFIG_MAP, config_map(namespace, "after", job="x"))
        async with aclosing(cluster.watch(wanted, version)) as changes:
            assert await heard(changes, 1) == [(ChangeType.ADDED, "after")]

    async def test_a_watch_tells_changes_in_order(self, cluster: Cluster, namespace: str) -> None:
        wanted = self.selection(namespace, job=None)
        version = (await cluster.list(wanted)).resource_version
        created = await cluster.create(CONFIG_MAP, config_map(namespace, job="x"))
        await cluster.replace(CONFIG_MAP, created | {"data": {"key": "new"}})
        await cluster.delete(CONFIG_MAP, namespace, "a")
        async with aclosing(cluster.watch(wanted, version)) as changes:
            told = [kind for kind, _ in await heard(changes, 3)]
        assert told == [ChangeType.ADDED, ChangeType.MODIFIED, ChangeType.DELETED]

    async def test_a_label_taken_away_is_a_deletion_to_a_watch(self, cluster: Cluster, namespace: str) -> None:
        wanted = self.selection(namespace, job="x")
        created = await cluster.create(CONFIG_MAP, config_map(namespace, job="x"))
        version = (await cluster.list(wanted)).resource_version
        unlabeled = created | {"metadata": created["metadata"] | {"labels": {"job": "y"}}}
        await cluster.replace(CONFIG_MAP, unlabeled)
        async with aclosing(cluster.watch(wanted, version)) as changes:
            assert await heard(changes, 1) == [(ChangeType.DELETED, "a")]

    async def test_a_version_that_is_long_gone_has_expired(self, cluster: Cluster, namespace: str) -> None:
        version = await self.compacted(cluster, namespace)
        with pytest.raises(Expired):
            async with aclosing(cluster.watch(self.selection(namespace, EVENT), version)) as changes:
                await heard(changes, 1)

    async def compacted(self, cluster: Cluster, namespace: str) -> str:
        """A version that the cluster no longer remembers; of events, which the real one keeps in no cache."""
        raise NotImplementedError

    async def test_a_replacement_must_know_the_present_version(self, cluster: Cluster, namespace: str) -> None:
        stale = await cluster.create(CONFIG_MAP, config_map(namespace))
        await cluster.replace(CONFIG_MAP, stale | {"data": {"key": "new"}})
        with pytest.raises(Conflict, match="has been modified"):
            await cluster.replace(CONFIG_MAP, stale | {"data": {"key": "newer"}})

    async def test_a_replacement_of_nothing_is_not_found(self, cluster: Cluster, namespace: str) -> None:
        stale = await cluster.create(CONFIG_MAP, config_map(namespace))
        await cluster.delete(CONFIG_MAP, namespace, "a")
        with pytest.raises(NotFound):
            await cluster.replace(CONFIG_MAP, stale)

    async def test_a_status_is_merged(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(POD, pod(namespace))
        await cluster.patch_status(POD, namespace, "a", {"reason": "One", "message": "stays"})
        patched = await cluster.patch_status(POD, namespace, "a", {"reason": "Two"})
        assert (patched["status"]["reason"], patched["status"]["message"]) == ("Two", "stays")

    async def test_null_takes_a_field_out_of_a_status(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(POD, pod(namespace))
        await cluster.patch_status(POD, namespace, "a", {"reason": "One"})
        patched = await cluster.patch_status(POD, namespace, "a", {"reason": None})
        assert "reason" not in patched["status"]

    async def test_a_status_with_a_stale_version_conflicts(self, cluster: Cluster, namespace: str) -> None:
        stale = (await cluster.create(POD, pod(namespace)))["metadata"]["resourceVersion"]
        await cluster.patch_status(POD, namespace, "a", {"reason": "One"})
        with pytest.raises(Conflict):
            await cluster.patch_status(POD, namespace, "a", {"reason": "Two"}, resource_version=stale)

    async def test_a_status_with_the_present_version_is_written(self, cluster: Cluster, namespace: str) -> None:
        bound = pod(namespace)
        bound["spec"]["nodeName"] = "node"  # So that no scheduler writes to it in between.
        await cluster.create(POD, bound)
        one = await cluster.patch_status(POD, namespace, "a", {"reason": "One"})
        present = one["metadata"]["resourceVersion"]
        patched = await cluster.patch_status(POD, namespace, "a", {"reason": "Two"}, resource_version=present)
        assert patched["status"]["reason"] == "Two"

    async def test_a_status_of_nothing_is_not_found(self, cluster: Cluster, namespace: str) -> None:
        with pytest.raises(NotFound):
            await cluster.patch_status(POD, namespace, "absent", {"reason": "One"})

    async def test_a_deleted_object_is_gone(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAP, config_map(namespace))
        await cluster.delete(CONFIG_MAP, namespace, "a")
        assert await cluster.get(CONFIG_MAP, namespace, "a") is None

    async def test_deleting_what_is_gone_is_no_error(self, cluster: Cluster, namespace: str) -> None:
        await cluster.delete(CONFIG_MAP, namespace, "absent", uid="2c4e7a4e-0000-4000-8000-000000000000")

    async def test_a_namesake_is_not_deleted(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAP, config_map(namespace))
        with pytest.raises(Conflict):
            await cluster.delete(CONFIG_MAP, namespace, "a", uid="2c4e7a4e-0000-4000-8000-000000000000")
        assert await cluster.get(CONFIG_MAP, namespace, "a") is not None

    async def test_a_pod_without_a_node_is_deleted_at_once(self, cluster: Cluster, namespace: str) -> None:
        created = await cluster.create(POD, pod(namespace))
        await cluster.delete(POD, namespace, "a", uid=created["metadata"]["uid"])
        assert await cluster.get(POD, namespace, "a") is None

    async def test_an_owned_object_goes_with_its_owner(self, cluster: Cluster, namespace: str) -> None:
        owner = await cluster.create(CONFIG_MAP, config_map(namespace, "owner"))
        owned = config_map(namespace, "owned")
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        owned["metadata"]["ownerReferences"] = [reference | {"controller": True, "blockOwnerDeletion": True}]
        created = await cluster.create(CONFIG_MAP, owned)
        wanted = self.selection(namespace)
        async with aclosing(cluster.watch(wanted, created["metadata"]["resourceVersion"])) as changes:
            await cluster.delete(CONFIG_MAP, namespace, "owner")
            assert await heard(changes, 2) == [(ChangeType.DELETED, "owner"), (ChangeType.DELETED, "owned")]

    async def test_a_lease_can_be_created_and_replaced(self, cluster: Cluster, namespace: str) -> None:
        lease: dict[str, Any] = {
            "apiVersion": LEASE.api_version,
            "kind": "Lease",
            "metadata": {"name": "a", "namespace": namespace},
            "spec": {"holderIdentity": "one"},
        }
        created = await cluster.create(LEASE, lease)
        replaced = await cluster.replace(LEASE, created | {"spec": {"holderIdentity": "two"}})
        assert replaced["spec"]["holderIdentity"] == "two"


def names(items: tuple[Manifest, ...]) -> list[str]:
    """The names of objects, in order."""
    return sorted(item["metadata"]["name"] for item in items)
