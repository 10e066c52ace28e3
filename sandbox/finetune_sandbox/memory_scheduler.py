"""A scheduler that counts GPUs, CPUs and memory, and preempts: `plan` is pure, `MemoryScheduler` does what it says.

Its sentences are those of the real one (1.36), since they end up in a job's conditions.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from finetune_operator.cluster.port import (
    EVENT,
    NODE,
    POD,
    AlreadyExists,
    Conflict,
    Kind,
    Manifest,
    NotFound,
    Selection,
)

from finetune_sandbox.crew import Crew
from finetune_sandbox.node_api import NodeApi, change_status, condition, disrupt, is_going, is_terminal, with_condition
from finetune_sandbox.nodes import Resources, allocatable, blocked_because, requested

PREEMPTING = "default-scheduler: preempting to accommodate a higher priority pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """The pod fits on the node."""

    pod: Manifest
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preempt:
    """The pod would fit on the node without these pods."""

    pod: Manifest
    node: str
    victims: tuple[Manifest, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The pod fits nowhere."""

    pod: Manifest
    message: str


Step = Bind | Preempt | Wait


def plan(nodes: Iterable[Manifest], pods: Iterable[Manifest]) -> tuple[Step, ...]:
    """What to do with every pod that waits, the most important and oldest first."""
    board = _Board(tuple(nodes), tuple(pods))
    waiting = (each for each in board.pods if _waits(each))
    return tuple(board.place(pod) for pod in sorted(waiting, key=_queue_order))


class _Board:
    """Who sits where, while a plan is made."""

    def __init__(self, nodes: tuple[Manifest, ...], pods: tuple[Manifest, ...]) -> None:
        self.nodes = {each["metadata"]["name"]: each for each in nodes}
        self.pods = pods
        self.seated = {name: [each for each in pods if _sits_on(each, name)] for name in self.nodes}

    def place(self, pod: Manifest) -> Step:
        if not self.nodes:
            return Wait(pod=pod, message="no nodes available to schedule pods")
        blocked = {name: self._reasons(pod, name) for name in self.nodes}
        if free := [name for name, reasons in blocked.items() if not reasons]:
            roomiest = max(sorted(free), key=lambda name: self._room(pod, name).rank())
            self.seated[roomiest].append(pod)
            return Bind(pod=pod, node=roomiest)
        message = f"0/{len(self.nodes)} nodes are available: {_counted(blocked.values())}."
        nominated = pod["status"].get("nominatedNodeName")
        if any(is_going(each) for each in self.seated.get(nominated or "", ())):
            return Wait(pod=pod, message=message)
        if choices := [(name, victims) for name in self.nodes if (victims := self._victims(pod, name))]:
            node, victims = min(choices, key=lambda choice: (_priority(choice[1][0]), len(choice[1]), choice[0]))
            # The room that becomes free is spoken for.
            self.seated[node] = [each for each in self.seated[node] if each not in victims] + [pod]
            return Preempt(pod=pod, node=node, victims=victims, message=message)
        return Wait(pod=pod, message=f"{message[:-1]}. no new claims to deallocate, preemption: {self._unhelped(pod)}")

    def _room(self, pod: Manifest, node: str, seated: list[Manifest] | None = None) -> Resources:
        """What is left on a node for this pod; the nominated room of a more important pod is not."""
        taken = self.seated[node] if seated is None else seated
        promised = [
            each
            for each in self.pods
            if each["status"].get("nominatedNodeName") == node
            and _waits(each)
            and each not in taken
            and each["metadata"]["uid"] != pod["metadata"]["uid"]
            and _priority(each) >= _priority(pod)
        ]
        used = sum((requested(each) for each in [*taken, *promised]), Resources({}))
        return allocatable(self.nodes[node]) - used

    def _reasons(self, pod: Manifest, node: str, seated: list[Manifest] | None = None) -> tuple[str, ...]:
        if refused := blocked_because(pod, self.nodes[node]):
            return (refused,)
        return tuple(f"Insufficient {name}" for name in requested(pod).lacking(self._room(pod, node, seated)))

    def _victims(self, pod: Manifest, node: str) -> tuple[Manifest, ...]:
        """Whom to end, the most important first; whoever need not go stays."""
        lesser = [each for each in self.seated[node] if _priority(each) < _priority(pod) and not is_going(each)]
        kept = [each for each in self.seated[node] if each not in lesser]
        if self._reasons(pod, node, kept):
            return ()
        victims = []
        for each in sorted(lesser, key=_queue_order):
            if self._reasons(pod, node, [*kept, each]):
                victims.append(each)
            else:
                kept.append(each)
        return tuple(victims)

    def _unhelped(self, pod: Manifest) -> str:
        reasons = [
            "Preemption is not helpful for scheduling"
            if self._reasons(pod, name, [])
            else "No preemption victims found for incoming pod"
            for name in self.nodes
        ]
        return f"0/{len(self.nodes)} nodes are available: {_counted((each,) for each in reasons)}."


class MemoryScheduler:
    """Binds pods to nodes while its `async with` block lasts."""

    def __init__(self, api: NodeApi) -> None:
        self._api = api
        self._changed = asyncio.Event()
        self.crew = Crew()

    async def __aenter__(self) -> Self:
        self._changed.set()
        for each in (self._watch(POD), self._watch(NODE), self._work()):
            self.crew.start(each)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.crew.end()

    async def _watch(self, kind: Kind) -> None:
        while True:
            start = await self._api.list(Selection(kind=kind))
            self._changed.set()
            async for _ in self._api.watch(Selection(kind=kind), start.resource_version):
                self._changed.set()

    async def _work(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            nodes = (await self._api.list(Selection(kind=NODE))).items
            pods = (await self._api.list(Selection(kind=POD))).items
            for step in plan(nodes, pods):
                # Whatever has changed meanwhile has woken us again.
                with suppress(Conflict, NotFound):
                    await self._carry_out(step)

    async def _carry_out(self, step: Step) -> None:
        metadata = step.pod["metadata"]
        match step:
            case Bind():
                await self._api.bind(metadata["namespace"], metadata["name"], step.node)
                where = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {step.node}"
                await self._tell(step.pod, "Normal", "Scheduled", where)
            case Preempt():
                await self._mark_unschedulable(step.pod, step.message, step.node)
                for victim in step.victims:
                    await disrupt(
                        self._api, victim, reason="PreemptionByScheduler", message=PREEMPTING, now=_timestamp()
                    )
                    whom = f"Preempted by pod {metadata['uid']} on node {step.node}"
                    await self._tell(victim, "Normal", "Preempted", whom)
            case Wait():
                await self._mark_unschedulable(step.pod, step.message, None)

    async def _mark_unschedulable(self, pod: Manifest, message: str, nominated: str | None) -> None:
        new = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": _timestamp(),
        }

        def marked(found: Manifest) -> Manifest | None:
            conditions = found["status"].get("conditions", [])
            old = condition(conditions, "PodScheduled") or {}
            if old.get("message") == message and nominated in {None, found["status"].get("nominatedNodeName")}:
                return None
            status: Manifest = {"conditions": with_condition(conditions, new)}
            return status | ({"nominatedNodeName": nominated} if nominated else {})

        before = condition(pod["status"].get("conditions", []), "PodScheduled") or {}
        await change_status(self._api, POD, pod["metadata"]["namespace"], pod["metadata"]["name"], marked)
        if before.get("message") != message:
            await self._tell(pod, "Warning", "FailedScheduling", message)

    async def _tell(self, pod: Manifest, kind: str, reason: str, message: str) -> None:
        event = event_manifest(pod, kind=kind, reason=reason, message=message, source="default-scheduler")
        with suppress(AlreadyExists):
            await self._api.create(EVENT, event)


def event_manifest(about: Manifest, *, kind: str, reason: str, message: str, source: str) -> Manifest:
    """An Event on an object."""
    metadata = about["metadata"]
    now = _timestamp()
    return {
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": source},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _waits(pod: Manifest) -> bool:
    spec = pod["spec"]
    is_ours = spec.get("schedulerName", "default-scheduler") == "default-scheduler"
    return is_ours and not (spec.get("nodeName") or spec.get("schedulingGates") or is_going(pod) or is_terminal(pod))


def _sits_on(pod: Manifest, node: str) -> bool:
    return pod["spec"].get("nodeName") == node and not is_terminal(pod)


def _priority(pod: Manifest) -> int:
    return int(pod["spec"].get("priority", 0))


def _queue_order(pod: Manifest) -> tuple[int, str, str]:
    return -_priority(pod), pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def _counted(reasons: Iterable[tuple[str, ...]]) -> str:
    counts: Mapping[str, int] = Counter(each for of_node in reasons for each in of_node)
    return ", ".join(sorted(f"{number} {reason}" for reason, number in counts.items()))


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
