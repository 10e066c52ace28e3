"""A cluster inside one process: API in memory, scheduler, one node of processes, and the operator's engine.

The embedded default of `finetune run`. It is the same operator core and the same trainer as on a cluster; what is
small is the cluster.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.engine import Engine, Tuning
from finetune_operator.cluster.observe import parsed
from finetune_operator.cluster.port import CONFIG_MAP, EVENT, JOB, POD, SECRET, Manifest, Selection
from finetune_operator.cluster.progress import Pace
from finetune_operator.config import Config

from finetune_sandbox.crew import Crew
from finetune_sandbox.devices import Devices
from finetune_sandbox.memory_api import MemoryApi
from finetune_sandbox.memory_scheduler import MemoryScheduler
from finetune_sandbox.nodes import Resources
from finetune_sandbox.process_node import ProcessNode

NAMESPACE = "default"
# On one machine a question costs nothing, and somebody is looking at the progress bar.
QUICK = Tuning(workers=2, pace=Pace(starting=0.2, shortest=0.5, longest=1))

Result = TypeVar("Result")


class Broken(Exception):
    """A part of the workstation has failed; the message says which, how, and what to do."""


class Workstation:
    """The cluster, while its `async with` block lasts; with it end the pods."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        *,
        room: Resources | None = None,
        devices: Devices | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.api = MemoryApi()
        self.node = ProcessNode(
            self.api, "workstation", folder, gpus=0, room=room, devices=devices, variables=variables
        )
        self._scheduler = MemoryScheduler(self.api)
        self._engine = Engine(self.api, config, tuning=QUICK)
        self._operator = Crew()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.node)
        await self._stack.enter_async_context(self._scheduler)
        self._operator.start(self._engine.run())
        self._stack.push_async_callback(self._operator.end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def during(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the work comes to; raises `Broken` when a part of the workstation fails before."""
        crews = {"node": self.node.crew, "scheduler": self._scheduler.crew, "operator": self._operator}
        parts = {asyncio.ensure_future(crew.failure()): name for name, crew in crews.items()}
        mine = asyncio.ensure_future(work)
        try:
            await asyncio.wait({mine, *parts}, return_when=asyncio.FIRST_COMPLETED)
            for part, name in parts.items():
                if part.done() and not mine.done():
                    raise _broken(name, part.result())
            return await mine
        finally:
            for task in (mine, *parts):
                task.cancel()
            await asyncio.gather(mine, *parts, return_exceptions=True)

    async def keep(self, manifest: Manifest) -> None:
        """Create a ConfigMap or a Secret, as a user does before the job."""
        kind = {each.kind: each for each in (CONFIG_MAP, SECRET)}[manifest["kind"]]
        await self.api.create(kind, manifest | {"metadata": manifest["metadata"] | {"namespace": NAMESPACE}})

    async def apply(self, manifest: Manifest) -> FineTuneJob:
        """Create a job; raises `Refused` with the sentence of the rule that it breaks."""
        metadata = manifest["metadata"] | {"namespace": NAMESPACE}
        return parsed(await self.api.create(JOB, manifest | {"metadata": metadata}))

    async def job(self, name: str) -> FineTuneJob:
        """The job as it is now."""
        manifest = await self.api.get(JOB, NAMESPACE, name)
        if manifest is None:
            raise KeyError(name)
        return parsed(manifest)

    async def evict(self, name: str) -> None:
        """Take the current attempt's first pod away, as a drain does."""
        job = await self.job(name)
        await self.api.evict(NAMESPACE, f"{name}-{job.status.attempt}-0")

    async def events(self, name: str) -> tuple[Manifest, ...]:
        """The events about a job, oldest first."""
        found = (await self.api.list(Selection(kind=EVENT, namespace=NAMESPACE))).items
        mine = [event for event in found if event["involvedObject"].get("name") == name]
        return tuple(sorted(mine, key=lambda event: int(event["metadata"]["resourceVersion"])))

    async def pods(self) -> tuple[Manifest, ...]:
        """All pods."""
        return (await self.api.list(Selection(kind=POD, namespace=NAMESPACE))).items


def _broken(part: str, failure: BaseException) -> Broken:
    return Broken(
        f"The {part} of this run has failed: {type(failure).__name__}: {failure} Nothing more would happen, so the "
        "run has ended. Report this with the lines above."
    )
