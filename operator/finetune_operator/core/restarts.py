"""Whether, and how soon, a job may start again: three budgets, and pauses that double."""

from datetime import timedelta

from finetune_operator.api.status import AttemptStatus, Cause, FineTuneJobStatus, Restarts
from finetune_operator.api.v1alpha1 import Restart

_BARREN_LIFE = timedelta(seconds=60)
_BARREN_ALLOWED = 3

_COUNTERS = {
    Cause.PREEMPTED: "preemptions",
    Cause.INFRASTRUCTURE: "infrastructure",
    Cause.FAILURE: "failures",
}
_BUDGETS = {
    Cause.PREEMPTED: "maxPreemptions",
    Cause.INFRASTRUCTURE: "maxInfrastructure",
    Cause.FAILURE: "maxFailures",
}


def spent(status: FineTuneJobStatus, policy: Restart, cause: Cause) -> str | None:
    """The exhausted budget, as the author wrote it; None when one more restart is allowed."""
    limit, used = _account(status, policy, cause)
    return None if limit is None or used < limit else f"spec.restart.{_BUDGETS[cause]} is {limit}"


def _account(status: FineTuneJobStatus, policy: Restart, cause: Cause) -> tuple[int | None, int]:
    fruitless = status.restarts_without_progress
    if cause is Cause.PREEMPTED:
        return policy.max_preemptions, status.restarts.preemptions
    if cause is Cause.INFRASTRUCTURE:
        return policy.max_infrastructure, fruitless.infrastructure
    return policy.max_failures, fruitless.failures


def after_progress(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """The status with the budgets full again, when the attempt has left a newer checkpoint than it found."""
    start = status.resume.from_step if status.resume else 0
    if status.checkpoint is None or status.checkpoint.step <= start:
        return status
    return status.model_copy(update={"restarts_without_progress": Restarts()})


def counted(status: FineTuneJobStatus, cause: Cause) -> FineTuneJobStatus:
    """The status with one more restart for this cause."""
    counters = ("restarts", "restarts_without_progress")
    return status.model_copy(update={name: _one_more(getattr(status, name), cause) for name in counters})


def _one_more(restarts: Restarts, cause: Cause) -> Restarts:
    name = _COUNTERS[cause]
    return restarts.model_copy(update={name: getattr(restarts, name) + 1, "total": restarts.total + 1})


def pause(status: FineTuneJobStatus, policy: Restart, cause: Cause) -> timedelta:
    """The time to wait before the restart that was just counted."""
    fruitless = status.restarts_without_progress
    turns = {
        # Whoever takes the pods again and again before they do anything must not make us flood the cluster.
        Cause.PREEMPTED: _barren(status.last_attempts) - _BARREN_ALLOWED,
        Cause.INFRASTRUCTURE: fruitless.infrastructure,
        Cause.FAILURE: fruitless.failures,
    }[cause]
    if turns <= 0:
        return timedelta()
    # 2**30 backoffs are decades: no need for larger powers.
    seconds = policy.backoff_seconds * 2 ** min(turns - 1, 30)
    return timedelta(seconds=min(seconds, policy.max_backoff_seconds))


def _barren(attempts: tuple[AttemptStatus, ...]) -> int:
    """How many of the latest attempts were taken within a minute and before a step."""
    fruitful = (number for number, attempt in enumerate(attempts) if not _is_barren(attempt))
    return next(fruitful, len(attempts))


def _is_barren(attempt: AttemptStatus) -> bool:
    did_steps = (attempt.to_step or 0) > (attempt.from_step or 0)
    if attempt.cause is not Cause.PREEMPTED or did_steps or not attempt.started_at or not attempt.ended_at:
        return False
    return attempt.ended_at - attempt.started_at < _BARREN_LIFE
