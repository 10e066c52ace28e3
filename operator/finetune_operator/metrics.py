"""The operator's metrics. Labels come from closed sets: no job and no namespace is one."""

from collections import Counter as Count
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from finetune_operator.api.status import FineTuneJobStatus, Phase
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.core.decision import Decision

RESTART_CAUSES = ("preemptions", "infrastructure", "failures")
RECOVERY_PHASES = frozenset({"schedule", "start", "import", "restore", "data", "firstStep"})
"""What a trainer says beyond these is not counted: it could be anything."""


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._restarts = Counter(
            "finetune_restarts", "Attempts that were started again, by cause.", ["cause"], registry=self.registry
        )
        self._lost_steps = Counter(
            "finetune_lost_steps", "Steps that had been done and had to be done again.", registry=self.registry
        )
        self._recovery = Histogram(
            "finetune_recovery_seconds",
            "Seconds from the creation of an attempt's first pod to its first step, by phase.",
            ["phase"],
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
            registry=self.registry,
        )
        self._passes = Histogram(
            "finetune_reconcile_seconds",
            "Duration of a pass over one job.",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=self.registry,
        )
        self._failures = Counter("finetune_reconcile_failures", "Passes that are tried again.", registry=self.registry)
        self._leader = Gauge("finetune_leader", "Whether this process works or stands by.", registry=self.registry)

    def leads(self) -> None:
        """This process is the leader now."""
        self._leader.set(1)

    def watch(self, phases: Callable[[], Iterable[str]], queue_depth: Callable[[], float]) -> None:
        """Count jobs by phase and waiting keys whenever somebody reads."""
        self.registry.register(Jobs(phases))
        Gauge("finetune_queue_depth", "Jobs that wait for a pass.", registry=self.registry).set_function(queue_depth)

    def pass_done(self, seconds: float, *, failed: bool) -> None:
        """One pass over one job has ended."""
        self._passes.observe(seconds)
        self._failures.inc(failed)

    def status_written(self, old: FineTuneJob, new: Decision) -> None:
        """Count what has happened between two statuses."""
        before, after = old.status, new.status
        for cause in RESTART_CAUSES:
            grown = getattr(after.restarts, cause) - getattr(before.restarts, cause)
            self._restarts.labels(cause=cause).inc(max(0, grown))
        self._lost_steps.inc(newly_lost(before, after))
        for phase, seconds in newly_recovered(before, after).items():
            self._recovery.labels(phase=phase).observe(seconds)

    def exposition(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class Jobs(Collector):
    """Jobs by phase, counted when somebody asks."""

    def __init__(self, phases: Callable[[], Iterable[str]]) -> None:
        self._phases = phases

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One sample for each phase there is, also for those without a job."""
        counted = Count(self._phases())
        family = GaugeMetricFamily("finetune_jobs", "Jobs, by phase.", labels=["phase"])
        for phase in Phase:
            family.add_metric([phase.value], counted[phase.value])
        yield family


def newly_lost(before: FineTuneJobStatus, after: FineTuneJobStatus) -> int:
    """Steps lost since the earlier status.

    What an attempt begins with is a guess, which counts once its trainer was heard, or when the next attempt begins.
    """
    if before.attempt != after.attempt:
        return (0 if _was_heard(before) else _lost(before)) + (_lost(after) if _was_heard(after) else 0)
    known = _lost(before) if _was_heard(before) else 0
    return max(0, _lost(after) - known) if _was_heard(after) else 0


def _lost(status: FineTuneJobStatus) -> int:
    return status.resume.lost_steps if status.resume else 0


def _was_heard(status: FineTuneJobStatus) -> bool:
    said, since = status.progress, status.attempt_started_at
    return said is not None and since is not None and said.observed_at >= since


def newly_recovered(before: FineTuneJobStatus, after: FineTuneJobStatus) -> dict[str, float]:
    """The recovery of the attempt that has just ended."""
    ended = after.last_attempts[0] if after.last_attempts else None
    known = before.last_attempts[0] if before.last_attempts else None
    if ended is None or ended.ended_at is None:
        return {}
    if known is not None and (known.attempt, known.ended_at) == (ended.attempt, ended.ended_at):
        return {}
    return {phase: seconds for phase, seconds in ended.recovery_seconds.items() if phase in RECOVERY_PHASES}
