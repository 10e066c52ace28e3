"""A node whose pods are processes of this machine: a kubelet without containers, and without root.

It works over anything that is a `NodeApi`: the API server in memory, or a real one.
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from finetune_operator.cluster.port import (
    NODE,
    POD,
    AlreadyExists,
    ChangeType,
    ClusterError,
    Expired,
    Manifest,
    Selection,
    Unavailable,
)

from finetune_sandbox.crew import Crew
from finetune_sandbox.devices import Devices, visible
from finetune_sandbox.memory_api import utc_now
from finetune_sandbox.node_api import NAMESPACE, NodeApi, change_status, is_terminal, with_condition
from finetune_sandbox.nodes import Resources, allocatable, node_manifest, ready_condition, requested, with_room
from finetune_sandbox.pod_runner import Host, PodRunner
from finetune_sandbox.pod_status import Verdict, timestamp

TRAINER = (sys.executable, "-m", "finetune_trainer")


class ProcessNode:
    """A node of processes while its `async with` block lasts; with the block end the processes.

    Enter it in the main thread: a process dies with the thread that started it.
    """

    def __init__(
        self,
        api: NodeApi,
        name: str,
        folder: Path,
        *,
        claims: Path | None = None,
        gpus: int = 1,
        cpus: int = 64,
        room: Resources | None = None,
        devices: Devices | None = None,
        absent_images: frozenset[str] = frozenset(),
        entrypoint: tuple[str, ...] = TRAINER,
        variables: dict[str, str] | None = None,
        retry_seconds: float = 1,
        heartbeat_seconds: float = 10,
    ) -> None:
        self.name = name
        self.manifest = with_room(node_manifest(name, gpus=gpus, cpus=cpus), room or Resources({}))
        self._api = api
        self._folder = folder
        self._claims = claims or folder / "claims"
        self._devices = devices or Devices(visible())
        self._absent_images = absent_images
        self._entrypoint = entrypoint
        self._variables = variables or {}
        self._retry_seconds = retry_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._runners: dict[str, PodRunner] = {}
        self.crew = Crew()
        self._host: Host | None = None

    async def __aenter__(self) -> Self:
        self._host = Host(
            api=self._api,
            cluster=await self._cluster(),
            folder=self._folder,
            claims=self._claims,
            devices=self._devices,
            absent_images=self._absent_images,
            entrypoint=self._entrypoint,
            variables=self._variables,
            retry_seconds=self._retry_seconds,
            admit=self._admit,
        )
        with suppress(AlreadyExists):
            await self._api.create(NODE, self.manifest)
        await self._beat()
        self.crew.start(self._watch())
        self.crew.start(self._beat_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.lose()
        with suppress(ClusterError):
            await self._api.delete(NODE, None, self.name)

    async def lose(self) -> None:
        """The machine burns: its processes end, and nobody says anything to the API server any more."""
        for runner in self._runners.values():
            runner.destroy()
        await self.crew.end()

    def runner(self, namespace: str, pod: str) -> PodRunner:
        """The newest pod of this name that the node has had: to send it a signal, or to read its log."""
        return self._found(namespace, pod)[-1]

    def logs(self, namespace: str, pod: str) -> str:
        """What the pod has written, also after it is gone; nothing when it never ran here."""
        found = self._found(namespace, pod)
        return found[-1].log.read_text(errors="replace") if found and found[-1].log.exists() else ""

    def kill(self, namespace: str, pod: str) -> None:
        """SIGKILL from outside to the pod's main process."""
        self.runner(namespace, pod).kill()

    def out_of_memory(self, namespace: str, pod: str) -> None:
        """The kernel ends the pod's main process, which has reached its memory limit."""
        self.runner(namespace, pod).kill(out_of_memory=True)

    def reboot(self) -> None:
        """All processes end; the node is back at once and says so."""
        for runner in self._runners.values():
            runner.kill()

    def relieve_memory(self, namespace: str, pod: str) -> None:
        """The kubelet evicts the pod, as it does when the node is short of memory."""
        message = "The node was low on resource: memory."
        self.runner(namespace, pod).end(Verdict(reason="Evicted", message=message, is_disruption=True), 0)

    def _found(self, namespace: str, pod: str) -> list[PodRunner]:
        return [each for each in self._runners.values() if _name(each.pod) == (namespace, pod)]

    async def _cluster(self) -> str:
        found = await self._api.get(NAMESPACE, None, "kube-system")
        return str(found["metadata"]["uid"]) if found else ""

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            with suppress(Unavailable):
                await self._beat()

    async def _beat(self) -> None:
        now = timestamp(utc_now())
        ready = ready_condition() | {"lastHeartbeatTime": now, "lastTransitionTime": now}

        def alive(node: Manifest) -> Manifest:
            conditions = with_condition(node.get("status", {}).get("conditions") or [], ready)
            return {**self.manifest["status"], "conditions": conditions}

        await change_status(self._api, NODE, None, self.name, alive)

    async def _watch(self) -> None:
        every_pod = Selection(kind=POD)
        while True:
            try:
                listing = await self._api.list(every_pod)
                self._take_all(listing.items)
                async for change in self._api.watch(every_pod, listing.resource_version):
                    self._take(change.object, gone=change.type is ChangeType.DELETED)
            except Expired:
                continue
            except Unavailable:
                await asyncio.sleep(self._retry_seconds)

    def _take_all(self, pods: tuple[Manifest, ...]) -> None:
        there = {each["metadata"]["uid"] for each in pods}
        for uid, runner in self._runners.items():
            if uid not in there:
                runner.vanish()
        for pod in pods:
            self._take(pod, gone=False)

    def _take(self, pod: Manifest, *, gone: bool) -> None:
        if pod.get("spec", {}).get("nodeName") != self.name:
            return
        runner = self._runners.get(pod["metadata"]["uid"])
        match runner:
            case None if not gone and not is_terminal(pod):
                self._start(pod)
            case PodRunner() if gone:
                runner.vanish()
            case PodRunner():
                runner.update(pod)
            case None:  # It had ended before we saw it.
                pass

    def _start(self, pod: Manifest) -> None:
        assert self._host is not None  # noqa: S101 (set on entering, before anything is watched)
        uid = pod["metadata"]["uid"]
        self._runners[uid] = PodRunner(self._host, pod)
        self.crew.start(self._runners[uid].run())

    def _admit(self, pod: Manifest) -> Verdict | None:
        """Why the node cannot take a pod: the scheduler's view was older than the node's."""
        others = [each.pod for uid, each in self._runners.items() if uid != pod["metadata"]["uid"]]
        used = sum((requested(each) for each in others if not is_terminal(each)), Resources({}))
        capacity = allocatable(self.manifest)
        for name in requested(pod).lacking(capacity - used):
            numbers = [each.amounts.get(name, 0) for each in (requested(pod), used, capacity)]
            told = "requested: {}, used: {}, capacity: {}".format(*numbers)
            message = f"Pod was rejected: Node didn't have enough resource: {name}, {told}"
            return Verdict(reason=f"OutOf{name}", message=message)
        return None


def _name(pod: Manifest) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]
