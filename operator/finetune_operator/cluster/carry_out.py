"""Does what was decided: the status first, then what is to be created, then deletions, then events."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.clock import Clock
from finetune_operator.cluster.events import Recorder
from finetune_operator.cluster.informer import Store
from finetune_operator.cluster.observe import KINDS, NOTHING_FOUND, Findings, is_controlled_by, is_of_a_namesake
from finetune_operator.cluster.port import (
    JOB,
    POD,
    AlreadyExists,
    Cluster,
    Conflict,
    Manifest,
    Refused,
    Unavailable,
)
from finetune_operator.core.decision import Decision, Deletion
from finetune_operator.core.observed import Pod

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_UNTOLD_WHILE_EMPTY = ("last_attempts", "restarts_without_progress")
_AT_ONCE = 32
"""Requests of one job that are under way together: a gang of thousands must not keep others, and our Lease, waiting."""
_HICCUP = timedelta(seconds=5)
"""An outage that is over by then is not worth a word in the status."""


class Stale(Exception):
    """The job has changed since it was read; nothing was done, and what was decided no longer counts."""


class Meter(Protocol):
    """Who wants to know what was written."""

    def status_written(self, old: FineTuneJob, new: Decision) -> None:
        """A new status is in the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of it."""

    findings: Findings = NOTHING_FOUND
    """What the creation met; decide again when it is something."""
    waits_for_names: bool = False
    """Whether an object of ours that is going still holds a name: look again soon."""


class Executor:
    """Carries out decisions in a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        jobs: Store[Manifest],
        pods: Store[Pod],
        *,
        clock: Clock,
        recorder: Recorder,
        meter: Meter,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._jobs = jobs
        self._pods = pods
        self._recorder = recorder
        self._meter = meter

    async def carry_out(self, manifest: Manifest, job: FineTuneJob, decision: Decision) -> Done:
        """Do it all; raises `Stale` when the job is no longer what was decided upon."""
        await self._write_status(manifest, job, decision)
        done = await self._create(job, decision)
        for batch in batches(decision.delete):
            await all_of(self._delete(job, deletion) for deletion in batch)
        await self._recorder.post(job, decision.events, decision.status.phase)
        return done

    async def _write_status(self, manifest: Manifest, job: FineTuneJob, decision: Decision) -> None:
        if decision.status == job.status:
            return
        new = shown(decision.status)
        patch = merge_patch(manifest.get("status") or {}, new)
        if not patch:
            return
        metadata = manifest["metadata"]
        # Always with the version: a status decided upon an older spec, or a namesake's, must not be written.
        version = metadata["resourceVersion"]
        try:
            written = await self._cluster.patch_status(
                JOB, metadata["namespace"], metadata["name"], patch, resource_version=version
            )
        except Conflict as conflict:
            raise Stale(str(conflict)) from conflict
        self._jobs.wrote(written)
        self._meter.status_written(job, decision)

    async def _create(self, job: FineTuneJob, decision: Decision) -> Done:
        """Create what pods need, then the pods, until something is in the way.

        A pod must not start with somebody else's ConfigMap, and a gang that a quota refuses asks no thousand times.
        """
        first = [manifest for manifest in decision.create if manifest["kind"] != POD.kind]
        pods = [manifest for manifest in decision.create if manifest["kind"] == POD.kind]
        for batch in (first, *batches(pods)):
            done = merged(await all_of(self._created(job, decision.status, manifest) for manifest in batch))
            if done != Done():
                return done
        return Done()

    async def _created(self, job: FineTuneJob, status: FineTuneJobStatus, manifest: Manifest) -> Done:
        kind = KINDS[manifest["kind"]]
        try:
            created = await self._cluster.create(kind, manifest)
        except AlreadyExists:
            return await self._met(job, manifest)
        except Refused as refused:
            return Done(findings=Findings(refusal=str(refused)))
        except Unavailable as outage:
            if self._may_be_a_hiccup(status):
                raise
            return Done(findings=Findings(refusal=str(outage)))
        if kind is POD:
            self._pods.wrote(created)
        return Done()

    def _may_be_a_hiccup(self, status: FineTuneJobStatus) -> bool:
        """Whether the attempt is so young that trying again at once may do; a webhook can be down for hours."""
        began = status.attempt_started_at
        return began is not None and self._clock.now() - began < _HICCUP

    async def _met(self, job: FineTuneJob, manifest: Manifest) -> Done:
        """What holds the name: ours is as good as created, what is going has to go first."""
        kind, name = KINDS[manifest["kind"]], manifest["metadata"]["name"]
        found = await self._cluster.get(kind, job.metadata.namespace, name)
        if found is None:
            return Done(waits_for_names=True)
        if not is_controlled_by(found, job.metadata.uid):
            what = (f"{kind.kind} {name}",)
            goes = is_going(found) or is_of_a_namesake(found, job.metadata)
            return Done(findings=Findings(going=what) if goes else Findings(taken=what))
        if is_going(found):
            return Done(waits_for_names=True)
        if kind is POD:
            self._pods.wrote(found)
        return Done()

    async def _delete(self, job: FineTuneJob, deletion: Deletion) -> None:
        kind = KINDS[deletion.kind]
        try:
            await self._cluster.delete(kind, job.metadata.namespace, deletion.name, uid=deletion.uid)
        except Conflict:
            logger.info("%s %s is another one by now and stays.", deletion.kind, deletion.name)


def shown(status: FineTuneJobStatus) -> Manifest:
    """The status as the cluster keeps it, without what has not happened yet."""
    untouched = FineTuneJobStatus()
    nothing = {name for name in _UNTOLD_WHILE_EMPTY if getattr(status, name) == getattr(untouched, name)}
    dumped: Manifest = status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=nothing)
    return dumped


def is_going(manifest: Manifest) -> bool:
    """Whether somebody has asked for the object's deletion."""
    return "deletionTimestamp" in manifest["metadata"]


def merged(results: tuple[Done, ...]) -> Done:
    """What came of all of them."""
    refusals = [done.findings.refusal for done in results if done.findings.refusal]
    taken = tuple(name for done in results for name in done.findings.taken)
    going = tuple(name for done in results for name in done.findings.going)
    return Done(
        findings=Findings(taken=taken, going=going, refusal=refusals[0] if refusals else None),
        waits_for_names=any(done.waits_for_names for done in results),
    )


def batches(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    """The items in order, as many together as one job may ask for at once."""
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


async def all_of(work: Iterable[Coroutine[Any, Any, ResultT]]) -> tuple[ResultT, ...]:
    """Do it all at once; when something fails the rest is still finished, then the first failure is raised."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return tuple(result for result in results if not isinstance(result, BaseException))


def merge_patch(old: Manifest, new: Manifest) -> Manifest:
    """RFC 7386: what turns the old into the new; empty when they are equal."""
    patch: Manifest = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := merge_patch(before, value):
                patch[name] = inner
        elif name not in old or before != value:
            patch[name] = value
    return patch
