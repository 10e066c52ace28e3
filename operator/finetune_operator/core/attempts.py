"""How an attempt begins, and how its end is written down."""

from datetime import datetime, timedelta

from finetune_trainer.contract.outcome import CheckpointKind, Progress

from finetune_operator.api.status import AttemptStatus, FineTuneJobStatus, Restarts
from finetune_operator.build.attempt import Attempt
from finetune_operator.build.config_map import config_map
from finetune_operator.build.manifest import Manifest
from finetune_operator.build.pods import pod, pods
from finetune_operator.build.service import service
from finetune_operator.config import Config
from finetune_operator.core import progress
from finetune_operator.core.causes import Verdict
from finetune_operator.core.gang import Gang, owned, record
from finetune_operator.core.observed import Observed
from finetune_operator.core.turn import Turn

REMEMBERED = 10
"""How many ended attempts the status keeps."""
NEVER_SEEN = "NeverSeen"
"""The reason of an attempt that was given up before any of its pods was seen."""


def begun(seen: Observed, status: FineTuneJobStatus) -> FineTuneJobStatus:
    """The status of the next attempt; its number is above that of any pod there is."""
    job = seen.job
    return status.model_copy(
        update={
            "attempt": max([status.attempt, *(pod.attempt for pod in owned(seen))]) + 1,
            "attempt_generation": job.metadata.generation,
            "attempt_started_at": seen.now,
            "attempt_nodes": job.spec.compute.nodes,
            "attempt_created": False,
            "restart_after": None,
            "resume": progress.restarted_at(status),
            "started_at": status.started_at or seen.now,
        }
    )


def manifests(seen: Observed, status: FineTuneJobStatus, config: Config) -> tuple[Manifest, ...]:
    """All that the attempt needs, in the order in which it must be there."""
    job = seen.job
    gang = (service(job),) if job.spec.compute.nodes > 1 else ()
    return (config_map(job, config), *gang, *pods(job, config, _attempt(status)))


def missing(seen: Observed, status: FineTuneJobStatus, gang: Gang, config: Config) -> tuple[Manifest, ...]:
    """What a creation that was cut short has left undone."""
    absent = tuple(pod(seen.job, config, _attempt(status), rank) for rank in gang.missing)
    return tuple(m for m in manifests(seen, status, config) if m["kind"] != "Pod") + absent


def _attempt(status: FineTuneJobStatus) -> Attempt:
    known = status.checkpoint
    return Attempt(
        number=status.attempt,
        min_step=known.step if known else None,
        min_digest=known.digest if known else None,
    )


def ending(turn: Turn, verdict: Verdict) -> FineTuneJobStatus:
    """The status with the attempt's end written down, before its last pod has stopped."""
    return _written(turn, verdict, ended_at=None)


def ended(turn: Turn, verdict: Verdict) -> FineTuneJobStatus:
    """The status with the attempt's end written down for good."""
    return _written(turn, verdict, ended_at=turn.seen.now)


def _written(turn: Turn, verdict: Verdict, ended_at: datetime | None) -> FineTuneJobStatus:
    status = turn.status
    known = record(status)
    entry = AttemptStatus(
        attempt=status.attempt,
        cause=verdict.cause,
        reason=verdict.reason,
        message=verdict.message,
        node=verdict.node,
        exit_code=verdict.exit_code if verdict.exit_code is not None else _exit_code(turn.gang, verdict),
        from_step=status.resume.from_step if status.resume else None,
        to_step=_last_step(status, known),
        started_at=status.attempt_started_at,
        ended_at=ended_at,
        recovery_seconds=(known.recovery_seconds if known else {}) | _recovery(turn.gang, turn.word),
    )
    older = _worth_keeping(status.last_attempts[1:] if known else status.last_attempts, verdict)
    return status.model_copy(update={"last_attempts": (entry, *older)[:REMEMBERED]})


def _worth_keeping(older: tuple[AttemptStatus, ...], verdict: Verdict) -> tuple[AttemptStatus, ...]:
    """The attempts to remember: of those that nobody ever saw the newest will do, or they crowd out all others."""
    if verdict.reason != NEVER_SEEN:
        return older
    return tuple(attempt for attempt in older if attempt.reason != NEVER_SEEN)


def _exit_code(gang: Gang, verdict: Verdict) -> int | None:
    """The exit code of a pod that was still running when its end was first written down."""
    codes = (pod.terminated.exit_code for pod in gang.ended if pod.node == verdict.node and pod.terminated)
    return next(codes, None)


def _last_step(status: FineTuneJobStatus, known: AttemptStatus | None) -> int:
    start = status.resume.from_step if status.resume else 0
    moment, since = status.progress, status.attempt_started_at
    seen = moment.step if moment is not None and since is not None and moment.observed_at >= since else start
    return max(start, seen, (known.to_step or 0) if known else 0)


def _recovery(gang: Gang, word: Progress | None) -> dict[str, float]:
    """Seconds by phase, from the creation of rank 0 to its first step."""
    first = gang.first
    phases: dict[str, timedelta] = {}
    if first and first.created_at and first.scheduled_at:
        phases["schedule"] = first.scheduled_at - first.created_at
    if first and first.scheduled_at and first.started_at:
        phases["start"] = first.started_at - first.scheduled_at
    measured = {name: span.total_seconds() for name, span in phases.items()}
    measured |= word.recovery_seconds if word else {}
    return {name: round(seconds, 1) for name, seconds in measured.items()}


def revived(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """The status of a job whose author has changed it after it failed: the budgets are full again."""
    return status.model_copy(
        update={
            "restarts": Restarts(),
            "restarts_without_progress": Restarts(),
            "restart_after": None,
            "started_at": None,
            "finished_at": None,
            "cleaned_at": None,
        }
    )


def checkpoint_clause(status: FineTuneJobStatus, since: datetime | None) -> str:
    """What is saved, in a clause."""
    known = status.checkpoint
    if known is None:
        return "no checkpoint yet"
    just_now = known.kind is CheckpointKind.TERMINATION and since is not None and known.committed_at >= since
    return f"checkpoint at step {known.step} published" if just_now else f"newest checkpoint at step {known.step}"
