"""A cluster inside one process: API in memory, scheduler, one node of processes, and the operator's engine.

The embedded default of `finetune run`. It is the same operator core and the same trainer as on a cluster; what is
small is the cluster.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.engine import Engine, Tuning
from finetune_operator.cluster.observe import parsed
from finetune_operator.cluster.port import CONFIG_MAP, EVENT, JOB, POD, SECRET, AlreadyExists, Manifest, Selection
from finetune_operator.cluster.progress import Pace
from finetune_operator.config import Config

from finetune_sandbox.memory_api import MemoryApi
from finetune_sandbox.memory_scheduler import MemoryScheduler
from finetune_sandbox.process_node import ProcessNode

NAMESPACE = "default"
# On one machine a question costs nothing, and somebody is looking at the progress bar.
QUICK = Tuning(workers=2, pace=Pace(starting=0.2, shortest=0.5, longest=1))


class Workstation:
    """The cluster, while its `async with` block lasts; with it end the pods."""

    def __init__(self, folder: Path, config: Config, *, gpus: int = 1, variables: dict[str, str] | None = None) -> None:
        self.api = MemoryApi()
        self.node = ProcessNode(self.api, "workstation", folder, gpus=gpus, variables=variables)
        self._scheduler = MemoryScheduler(self.api)
        self._engine = Engine(self.api, config, tuning=QUICK)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.node)
        await self._stack.enter_async_context(self._scheduler)
        engine = asyncio.create_task(self._engine.run())
        self._stack.push_async_callback(_ended, engine)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def keep_secret(self, name: str, values: dict[str, str]) -> None:
        """Create a Secret, as a user does before the job."""
        await self.api.create(SECRET, {"metadata": {"name": name, "namespace": NAMESPACE}, "stringData": values})

    async def keep(self, manifest: Manifest) -> None:
        """Create a ConfigMap or a Secret that stands beside the job in its file; a Secret kept already stays."""
        kind = {each.kind: each for each in (CONFIG_MAP, SECRET)}[manifest["kind"]]
        with suppress(AlreadyExists):
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

    async def until(self, name: str, holds: Callable[[FineTuneJob], bool]) -> FineTuneJob:
        """The job, as soon as this holds of it."""
        listing = await self.api.list(Selection(kind=JOB, namespace=NAMESPACE))
        job = await self.job(name)
        if holds(job):
            return job
        async for _ in self.api.watch(Selection(kind=JOB, namespace=NAMESPACE), listing.resource_version):
            job = await self.job(name)
            if holds(job):
                return job
        raise ConnectionError("The watch ended before it held.")

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


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
