"""Pods as tests write them, and what a watcher sees of their lives."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from finetune_operator.cluster.port import POD, Change, ChangeType, Manifest, Selection
from finetune_sandbox.node_api import NodeApi, condition
from finetune_sandbox.process_node import ProcessNode

DEADLINE_SECONDS = 30
LISTENS = "listens"
"""What a pod writes as soon as SIGTERM finds it prepared."""
IGNORES = f"trap '' TERM; echo {LISTENS}; while true; do sleep 0.05; done"


def waits(*, then_exits: int) -> str:
    """A trainer that on SIGTERM exits with this code."""
    return f"trap 'exit {then_exits}' TERM; echo {LISTENS}; while true; do sleep 0.05; done"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cluster, and where in it a test may play."""

    api: NodeApi
    namespace: str
    node: str

    def pod(self, name: str, script: str, *, gpus: int = 1, **spec: Any) -> Manifest:
        """A pod of one shell script for the test's node."""
        container = {
            "name": "trainer",
            "image": "registry.example/trainer:1",
            "command": ["/bin/sh", "-c", script],
            "resources": {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {},
            **spec.pop("container", {}),
        }
        return {
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 5,
                "automountServiceAccountToken": False,
                "nodeSelector": {"kubernetes.io/hostname": self.node},
                "containers": [container],
                **spec,
            },
        }

    async def create(self, name: str, script: str, **spec: Any) -> Manifest:
        """Create such a pod."""
        return await self.api.create(POD, self.pod(name, script, **spec))

    async def until(self, name: str, is_so: Callable[[Manifest], bool]) -> Manifest:
        """The pod, as soon as something holds for it."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                found = await self.api.get(POD, self.namespace, name)
                if found is not None and is_so(found):
                    return found
                await asyncio.sleep(0.02)

    async def until_it_listens(self, name: str, node: ProcessNode) -> None:
        """Until the pod, one that waits, is prepared for SIGTERM: a moment after it runs."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while LISTENS not in node.logs(self.namespace, name):  # noqa: ASYNC110 (no event tells it)
                await asyncio.sleep(0.02)

    async def until_gone(self, name: str) -> None:
        """Until there is no such pod."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.api.get(POD, self.namespace, name):  # noqa: ASYNC110 (no event tells it)
                await asyncio.sleep(0.02)


@dataclass
class Story:
    """What a watcher has seen of one pod."""

    changes: list[Change] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line for each change that tells something new."""
        told: list[str] = []
        for change in self.changes:
            line = _line(change)
            if not told or told[-1] != line:
                told.append(line)
        return told

    def last(self) -> Manifest:
        """The pod as it was last seen."""
        return self.changes[-1].object


@asynccontextmanager
async def watched(place: Place, name: str) -> AsyncIterator[Story]:
    """Watch one pod while the block lasts."""
    story = Story()
    start = await place.api.list(Selection(kind=POD, namespace=place.namespace))

    async def read() -> None:
        everything = Selection(kind=POD, namespace=place.namespace)
        async for change in place.api.watch(everything, start.resource_version):
            if change.type is not ChangeType.BOOKMARK and change.object["metadata"]["name"] == name:
                story.changes.append(change)

    reader = asyncio.create_task(read())
    try:
        yield story
    finally:
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader


async def gone(story: Story) -> None:
    """Until the watcher has seen the pod's deletion."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not story.changes or story.changes[-1].type is not ChangeType.DELETED:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def phase(pod: Manifest) -> str:
    """The pod's phase."""
    return str(pod["status"].get("phase"))


def runs(pod: Manifest) -> bool:
    """Whether the pod runs."""
    return phase(pod) == "Running"


def has_ended(pod: Manifest) -> bool:
    """Whether the pod has ended."""
    return phase(pod) in {"Succeeded", "Failed"}


def state(pod: Manifest) -> dict[str, Any]:
    """The state of its container: waiting, running or terminated, and the details."""
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    return dict(statuses[0]["state"])


def terminated(pod: Manifest) -> tuple[str, int, str]:
    """The phase, and how the container ended."""
    end = state(pod)["terminated"]
    return phase(pod), end["exitCode"], end["reason"]


def waiting(pod: Manifest) -> tuple[str, str]:
    """Why the container waits."""
    wait = state(pod).get("waiting", {})
    return wait.get("reason", ""), wait.get("message", "")


def disruption(pod: Manifest) -> str | None:
    """The reason of the DisruptionTarget condition."""
    found = condition(pod["status"].get("conditions") or [], "DisruptionTarget")
    return str(found["reason"]) if found else None


def _line(change: Change) -> str:
    pod = change.object
    of_container = state(pod)
    parts = [phase(pod), next(iter(of_container), "-")]
    if "terminated" in of_container:
        parts.append(str(of_container["terminated"]["exitCode"]))
    if reason := disruption(pod):
        parts.append(reason)
    if "deletionTimestamp" in pod["metadata"]:
        parts.append(f"going:{pod['metadata']['deletionGracePeriodSeconds']}")
    return f"{'DELETED ' if change.type is ChangeType.DELETED else ''}{' '.join(parts)}"
