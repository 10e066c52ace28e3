"""The engine: jobs and pods come in, passes over jobs go out. It knows nothing of Kopf.

A pass is `observe -> decide -> carry out`. It is asked for by a change of the job or its pods, by the trainer's word,
by a decision that wants to look again, and by a sweep that trusts none of these.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from finetune_trainer.contract.environment import DEFAULT_PROGRESS_PORT
from finetune_trainer.contract.outcome import Progress

from finetune_operator import names
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.build.attempt import token
from finetune_operator.cluster.carry_out import Executor, Meter, Stale
from finetune_operator.cluster.clock import Clock, SystemClock
from finetune_operator.cluster.events import Recorder
from finetune_operator.cluster.informer import Informer, Key, Store, key_of
from finetune_operator.cluster.observe import (
    NOTHING_FOUND,
    Findings,
    Look,
    Observer,
    Unreadable,
    job_of_pod,
    parsed,
    pod_store_entry,
)
from finetune_operator.cluster.port import JOB, POD, Change, ChangeType, Cluster, ClusterError, Manifest, Selection
from finetune_operator.cluster.progress import Ask, HttpAsk, Pace, ProgressReader, Trainer
from finetune_operator.cluster.queue import Queue
from finetune_operator.cluster.refuse import refusal
from finetune_operator.config import Config
from finetune_operator.core.decide import decide
from finetune_operator.core.decision import Decision
from finetune_operator.core.observed import Observed, Pod, PodPhase

logger = logging.getLogger(__name__)

LOOKS_PER_PASS = 6
"""A pass that wants to look again more often than this is put off: something keeps changing under it."""
NAME_FREE_SECONDS = 1.0
SETTLING_SECONDS = 1.0
"""Pods that are on their way come in many small steps; one pass sees several of them."""
SILENT_SECONDS = 300.0
"""A watch that is well brings a bookmark every minute."""
STUCK_SECONDS = 300.0
"""No pass and no request of one takes this long."""

Decide = Callable[[Observed, Config], Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How hard the engine works."""

    workers: int = 16
    sweep_seconds: float = 600
    """How often all jobs are listed anew, so that a lost event costs minutes, not the job."""
    pace: Pace = field(default_factory=Pace)
    """How often trainers are asked."""


class Silent:
    """A meter that nobody reads."""

    def status_written(self, old: FineTuneJob, new: Decision) -> None:
        """Note nothing."""

    def pass_done(self, seconds: float, *, failed: bool) -> None:
        """Note nothing."""


class EngineMeter(Meter, Protocol):
    """Who wants to know how the engine does."""

    def pass_done(self, seconds: float, *, failed: bool) -> None:
        """One pass over one job has ended."""


class Engine:
    """One operator's work in one namespace, or in all.

    `watches_jobs` is false where somebody else tells of the jobs, by `job_told`, after `prime`.
    """

    def __init__(
        self,
        cluster: Cluster,
        config: Config,
        *,
        namespace: str | None = None,
        clock: Clock | None = None,
        tuning: Tuning | None = None,
        watches_jobs: bool = True,
        ask: Ask | None = None,
        meter: EngineMeter | Silent | None = None,
        instance: str = names.MANAGED_BY,
        decide: Decide = decide,
    ) -> None:
        self._cluster = cluster
        self._config = config
        self._decide = decide
        self._clock = clock or SystemClock()
        self._tuning = tuning or Tuning()
        self._meter = meter or Silent()
        self._watches_jobs = watches_jobs
        self._ask = ask
        self._jobs_selection = Selection(kind=JOB, namespace=namespace)
        self.queue: Queue[Key] = Queue(self._clock)
        self.jobs: Store[Manifest] = Store(entry=stripped, owner=key_of, changed=self.queue.add)
        self.pods: Store[Pod] = Store(entry=self._pod_heard, owner=job_of_pod, changed=self._pods_changed)
        pods = Selection(kind=POD, namespace=namespace, labels={names.LABEL_JOB: None})
        self.pod_informer = Informer(cluster, pods, self.pods, self._clock)
        self.job_informer = Informer(cluster, self._jobs_selection, self.jobs, self._clock)
        self._observer = Observer(cluster, self.pods, self._clock)
        recorder = Recorder(cluster, self._clock, instance=instance)
        self._executor = Executor(
            cluster, self.jobs, self.pods, clock=self._clock, recorder=recorder, meter=self._meter
        )
        self._findings: dict[Key, Findings] = {}
        self._progress: ProgressReader | None = None
        self._last_words: dict[Key, Progress] = {}
        self.swept_at = self._clock.monotonic()
        self._running: asyncio.Task[None] | None = None

    def job_told(self, change: str | None, manifest: Manifest) -> None:
        """Take in what a watch says of a job; a watch that lists first says None for what is there."""
        self.jobs.apply(Change(ChangeType(change or ChangeType.ADDED), manifest))

    def _pods_changed(self, key: Key) -> None:
        """Look at once when an end may be near, and a little later while pods are only on their way."""
        status = (self.jobs.one(key) or {}).get("status") or {}
        if is_on_its_way(self.pods.owned_by(key), status.get("attempt", 0), status.get("attemptNodes", 0)):
            self.queue.add_after(key, SETTLING_SECONDS)
        else:
            self.queue.add(key)

    def phases(self) -> tuple[str, ...]:
        """The phase of every job."""
        return tuple((job.get("status") or {}).get("phase", "Pending") for job in self.jobs.all())

    def unreadiness(self) -> str | None:
        """What the engine still waits for, in a sentence; None while it stands by or works."""
        known = self.pod_informer.synced.is_set() and self.job_informer.synced.is_set()
        return None if known or self._running is None else "Jobs and pods have not been listed yet."

    def ailment(self) -> str | None:
        """What is wrong with the engine, in a sentence; None while it stands by or is well."""
        if self._running is None:
            return None
        if (silent := self.pod_informer.silent_seconds) > SILENT_SECONDS:
            return f"The API server has said nothing about pods for {silent:.0f} s."
        if (stuck := self.queue.oldest_seconds) > STUCK_SECONDS:
            return f"A job has waited {stuck:.0f} s for the end of its pass."
        unswept = self._clock.monotonic() - self.swept_at
        if not self._watches_jobs and unswept > 3 * self._tuning.sweep_seconds:
            return f"The jobs have not been listed for {unswept:.0f} s."
        return None

    async def prime(self) -> None:
        """List all jobs: no pass begins before they and their pods are known."""
        self.jobs.replace(await self._cluster.list(self._jobs_selection))
        self.job_informer.synced.set()
        self.swept_at = self._clock.monotonic()

    async def run(self) -> None:
        """Work until cancelled."""
        http = HttpAsk() if self._ask is None else None
        ask: Ask = http if http is not None else self._ask  # type: ignore[assignment]  # One of the two is there.
        self._progress = ProgressReader(self._clock, ask, self.queue.add, self._tuning.pace)
        self.swept_at = self._clock.monotonic()
        self.pod_informer.heard()
        self._running = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.pod_informer.run())
                group.create_task(self.job_informer.run() if self._watches_jobs else self._sweep())
                group.create_task(self._progress.run())
                await self.pod_informer.synced.wait()
                await self.job_informer.synced.wait()
                group.create_task(self.queue.work(self._pass, workers=self._tuning.workers))
        finally:
            if http is not None:
                await http.close()

    async def stop(self) -> None:
        """End the work; what was begun is finished by whoever comes next."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(self._tuning.sweep_seconds * random.uniform(0.8, 1.2))  # noqa: S311 (spread)
            try:
                await self.prime()
            except ClusterError as failure:
                logger.warning("The jobs cannot be listed now: %s", failure)

    async def _pass(self, key: Key) -> None:
        """One pass over one job, which fails alone."""
        started = self._clock.monotonic()
        failed = True
        try:
            await self._reconcile(key)
            self.queue.forget_failures(key)
            failed = False
        except Stale:
            self.queue.add_rate_limited(key)
        except ClusterError as failure:
            logger.warning("%s: %s Trying again.", key, failure)
            self.queue.add_rate_limited(key)
        except Exception:
            # A defect that one job brings to light must not stop the others.
            logger.exception("%s: the pass failed.", key)
            self.queue.add_rate_limited(key)
        self._meter.pass_done(self._clock.monotonic() - started, failed=failed)

    async def _reconcile(self, key: Key) -> None:
        look = Look()
        has_created = False
        for _ in range(LOOKS_PER_PASS):
            manifest = self.jobs.one(key)
            if manifest is None or "deletionTimestamp" in manifest["metadata"]:
                self._forget(key)
                return
            try:
                job = parsed(manifest)
            except Unreadable as wrong:
                await self._refuse(key, manifest, str(wrong))
                return
            decision = self._decide(await self._observed(key, job, look), self._config)
            if decision.needs_live_pods or decision.needs_belongings:
                look = closer(look, decision)
                continue
            if has_created:
                # What was refused a moment ago is tried again when the decision wants to look again.
                decision = replace(decision, create=())
            if await self._carried_out(key, manifest, job, decision):
                return
            has_created = True
        self.queue.add_rate_limited(key)

    async def _refuse(self, key: Key, manifest: Manifest, sentence: str) -> None:
        """Say in the status that the job cannot be read, and leave it alone."""
        if status := refusal(manifest, sentence, self._clock.now()):
            logger.error("%s cannot be read and is left alone: %s", key, sentence)
            version = manifest["metadata"]["resourceVersion"]
            self.jobs.wrote(await self._cluster.patch_status(JOB, *key, status, resource_version=version))

    async def _observed(self, key: Key, job: FineTuneJob, look: Look) -> Observed:
        findings = self._findings.get(key, NOTHING_FOUND)
        words = (self._progress.latest(key) if self._progress else None, self._last_words.get(key))
        # By attempt before by time: what one attempt said last may be dated later than all that the next one says.
        expected = token(job.metadata.uid, job.status.attempt)
        ours = (word for word in words if word is not None and word.token == expected)
        word = max(ours, key=lambda word: word.observed_at, default=None)
        return await self._observer.observed(job, look=look, progress=word, findings=findings)

    async def _carried_out(self, key: Key, manifest: Manifest, job: FineTuneJob, decision: Decision) -> bool:
        """Whether the pass is over; false when the creation met something new, which has to be decided upon."""
        done = await self._executor.carry_out(manifest, job, decision)
        if done.findings not in {NOTHING_FOUND, self._findings.get(key)}:
            self._findings[key] = done.findings
            return False
        if decision.create and done.findings == NOTHING_FOUND:
            self._findings.pop(key, None)
        if done.waits_for_names:
            self.queue.add_after(key, NAME_FREE_SECONDS)
        if decision.recheck_after is not None:
            self.queue.add_after(key, decision.recheck_after.total_seconds())
        self._follow(key, job)
        return True

    def _pod_heard(self, manifest: Manifest) -> Pod:
        """The pod; what it said at its end is remembered, for it may be gone before a pass looks at it."""
        pod = pod_store_entry(manifest)
        if pod.outcome is not None and pod.outcome.progress is not None:
            self._last_words[job_of_pod(manifest)] = pod.outcome.progress
        return pod

    def _follow(self, key: Key, job: FineTuneJob) -> None:
        """Have the progress of rank 0 read while it runs."""
        manifest = self.jobs.one(key)
        attempt = (manifest.get("status") or {}).get("attempt", 0) if manifest else 0
        first = next((pod for pod in self.pods.owned_by(key) if is_heard(pod, job, attempt)), None)
        trainer = None
        if first is not None and first.ip is not None:
            said = token(job.metadata.uid, attempt)
            trainer = Trainer(address=first.ip, port=DEFAULT_PROGRESS_PORT, token=said)
        if self._progress:
            self._progress.follow(key, trainer)

    def _forget(self, key: Key) -> None:
        self._findings.pop(key, None)
        self._last_words.pop(key, None)
        self.queue.drop(key)
        if self._progress:
            self._progress.follow(key, None)


def is_heard(pod: Pod, job: FineTuneJob, attempt: int) -> bool:
    """Whether this pod is rank 0 of the attempt and runs."""
    is_first = pod.attempt == attempt and pod.node_rank == 0 and pod.owner_uid == job.metadata.uid
    return is_first and pod.phase is PodPhase.RUNNING and pod.ip is not None


def is_on_its_way(pods: tuple[Pod, ...], attempt: int, nodes: int) -> bool:
    """Whether these are all pods of one attempt, and nothing speaks of the end of any."""
    return (
        len(pods) == nodes
        and all(pod.attempt == attempt for pod in pods)
        and not any(pod.is_terminal or pod.is_ending or pod.waiting or pod.is_unreachable for pod in pods)
    )


def closer(look: Look, decision: Decision) -> Look:
    """The look that this decision asks for, and what was looked at already."""
    return Look(
        live_pods=look.live_pods or decision.needs_live_pods,
        belongings=look.belongings or decision.needs_belongings,
    )


def stripped(manifest: Manifest) -> Manifest:
    """A job without what only the API server reads."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "managedFields"}
    return manifest | {"metadata": metadata}
