"""What the trainer says, taken into the status. Its silence changes nothing."""

import math
from datetime import datetime, timedelta

from finetune_trainer.contract.outcome import Checkpoint, Progress

from finetune_operator.api.status import FineTuneJobStatus, ProgressStatus, ResumeStatus
from finetune_operator.build.attempt import token
from finetune_operator.core.gang import Gang, record
from finetune_operator.core.observed import Observed

WRITE_EVERY = timedelta(seconds=30)
"""Progress alone is written no more often."""
_MOST = 2**63 - 1
"""The largest integer that the API server takes."""


def latest(seen: Observed, gang: Gang) -> Progress | None:
    """The newest word of the current attempt; an address may have been given to somebody else meanwhile."""
    attempt = seen.job.status.attempt
    expected = token(seen.job.metadata.uid, attempt)
    outcome = gang.first.outcome if gang.first else None
    words = [word for word in (seen.progress, outcome.progress if outcome else None) if word is not None]
    ours = [word for word in words if word.attempt == attempt and word.token == expected]
    return max(ours, key=lambda word: word.observed_at, default=None)


def heard(status: FineTuneJobStatus, word: Progress | None) -> FineTuneJobStatus:
    """The status after the trainer's word."""
    if word is None:
        return status
    word = _countable(word)
    status = _corrected(status, word)
    progress = _progress(word)
    return status.model_copy(
        update={
            "run": word.run or status.run,
            "strategy": word.strategy or status.strategy,
            "checkpoint": _checkpoint(status.checkpoint, word),
            "resume": _resume(status, word),
            "progress": progress if _is_news(status, word) else status.progress,
            "goodput": _goodput(status, word) or status.goodput,
        }
    )


def restarted_at(status: FineTuneJobStatus) -> ResumeStatus:
    """Where an attempt that is begun now should start, until its trainer says where it did."""
    step = status.checkpoint.step if status.checkpoint else 0
    return ResumeStatus(from_step=step, lost_steps=_lost(status, step, status.attempt + 1))


def may_wait(old: FineTuneJobStatus, new: FineTuneJobStatus) -> bool:
    """Whether nothing but the progress differs, and not for long by the trainer's clock, which may not be ours."""
    if old.progress is None or new.progress is None:
        return False
    moving = {"progress": None, "goodput": None}
    is_only_progress = old.model_copy(update=moving) == new.model_copy(update=moving)
    return is_only_progress and abs(new.progress.observed_at - old.progress.observed_at) < WRITE_EVERY


def _countable(word: Progress) -> Progress:
    """The word without what nobody can count with; a program may tell any number."""
    total = word.max_steps
    return word.model_copy(
        update={
            "step": min(max(0, word.step), _MOST),
            "max_steps": total if total is not None and 0 <= total <= _MOST else None,
            "seconds_per_step": _finite(word.seconds_per_step),
        }
    )


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _is_news(status: FineTuneJobStatus, word: Progress) -> bool:
    """A trainer that has just started knows no step yet; what its predecessor did stays visible until then."""
    return word.max_steps is not None or status.progress is None or word.step > 0


def _checkpoint(known: Checkpoint | None, word: Progress) -> Checkpoint | None:
    """The newest checkpoint; an older one only when the trainer has seen the known one and found it bad."""
    passed_over = word.resume is not None and bool(word.resume.passed_over)
    if known is None or (passed_over and word.resume is not None and word.resume.from_step < known.step):
        return _told(word.checkpoint)
    return _told(word.checkpoint) if word.checkpoint is not None and word.checkpoint.step >= known.step else known


def _told(checkpoint: Checkpoint | None) -> Checkpoint | None:
    """The checkpoint as the status has it: times without fractions."""
    if checkpoint is None:
        return None
    return checkpoint.model_copy(update={"committed_at": _whole(checkpoint.committed_at)})


def _resume(status: FineTuneJobStatus, word: Progress) -> ResumeStatus | None:
    if word.resume is None:
        return status.resume
    step = word.resume.from_step
    passed_over = " ".join(word.resume.passed_over)
    lost = _lost(status, step, status.attempt)
    return ResumeStatus(from_step=step, lost_steps=lost, message=passed_over or None)


def _corrected(status: FineTuneJobStatus, word: Progress) -> FineTuneJobStatus:
    """The status after W&B's rows have told how far the attempt before had got.

    We ask a trainer only now and then, so one that died without a word may have got further than was seen. Rows of
    steps that an attempt was seen to do are no news: they may be of an older one, whose loss is counted already.
    """
    before = tuple(a for a in status.last_attempts if a.attempt < status.attempt)
    reached = word.resume.reached_step if word.resume else None
    if not before or reached is None or reached <= max(a.to_step or 0 for a in before):
        return status
    further = before[0].model_copy(update={"to_step": reached})
    attempts = tuple(further if a is before[0] else a for a in status.last_attempts)
    return status.model_copy(update={"last_attempts": attempts})


def _lost(status: FineTuneJobStatus, step: int, attempt: int) -> int:
    """Steps that the attempt before had done beyond this one's start; its own end may be written down already."""
    before = next((a.to_step or 0 for a in status.last_attempts if a.attempt < attempt), 0)
    return max(0, before - step)


def _progress(word: Progress) -> ProgressStatus:
    total = word.max_steps
    return ProgressStatus(
        step=word.step,
        max_steps=total,
        epoch=None if word.epoch is None else _finite(round(word.epoch, 2)),
        percent=f"{min(100, 100 * word.step // total)}%" if total else None,
        eta=_eta(word),
        # JSON knows neither NaN nor infinity, and the largest numbers are rounded up to it.
        loss=None if word.loss is None else _finite(float(f"{word.loss:.4g}")),
        observed_at=_whole(word.observed_at),
    )


def _eta(word: Progress) -> datetime | None:
    """When training should end at the present speed; none where that is in the past, or beyond all calendars."""
    if word.max_steps is None or not word.seconds_per_step:
        return None
    try:
        left = timedelta(seconds=(word.max_steps - word.step) * word.seconds_per_step)
        return _whole(word.observed_at + left) if left >= timedelta() else None
    except OverflowError:
        return None


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _goodput(status: FineTuneJobStatus, word: Progress) -> str | None:
    """The share of the remembered attempts' time that went into steps which counted."""
    started = status.attempt_started_at
    current = record(status)
    before = [a for a in status.last_attempts if a is not current and a.started_at and a.ended_at]
    if started is None or not word.seconds_per_step:
        return None
    past = sum((a.ended_at - a.started_at).total_seconds() for a in before if a.ended_at and a.started_at)
    spent = past + (word.observed_at - started).total_seconds()
    counted = word.step - ((before[-1].from_step or 0) if before else 0)
    share = max(0.0, counted * word.seconds_per_step) / spent if spent > 0 else 0.0
    return f"{round(100 * min(1.0, share))}%"
