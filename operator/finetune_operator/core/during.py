"""An attempt is under way: let it, or see it to its end."""

from datetime import timedelta

from finetune_operator.api.status import Cause, Phase
from finetune_operator.core import attempts, waiting
from finetune_operator.core.causes import Verdict, verdict
from finetune_operator.core.conclusion import concluded, deletions
from finetune_operator.core.decision import Decision
from finetune_operator.core.ending import settled, stopping
from finetune_operator.core.gang import going, others, record, squatters
from finetune_operator.core.status import Headline, ready
from finetune_operator.core.turn import SOON, UNCERTAIN, Turn
from finetune_operator.core.wording import has, listed, sentence

_POLL = timedelta(seconds=30)
_RETRY = timedelta(seconds=15)
_WHILE_NAMES_GO = timedelta(seconds=5)
"""Only pods are watched."""
_HELD_UP = {"NameTaken", "WaitingForNames", "CreationRefused"}


def during(turn: Turn) -> Decision:
    """The decision while an attempt is under way."""
    written = record(turn.status)
    if written is None and not turn.gang.missing:
        turn = turn.having(attempt_created=True)
    found = verdict(turn.gang, written, was_complete=turn.status.attempt_created) or _our_stop(turn)
    if found is not None:
        return stopping(turn, found) if turn.gang.alive else settled(turn, found)
    if not turn.status.attempt_created:
        return _creating(turn)
    return concluded(
        turn,
        waiting.headline(turn),
        delete=deletions(others(turn.seen, turn.status.attempt)),
        recheck_after=_POLL if turn.seen.job.status.phase is Phase.RUNNING else SOON,
    )


def _our_stop(turn: Turn) -> Verdict | None:
    """The reason why we end an attempt that would go on."""
    status, job = turn.status, turn.seen.job
    if job.spec.suspend:
        return _stop("Suspended", "Stopped because spec.suspend is true.")
    if turn.is_late:
        return _stop("DeadlineExceeded", "Stopped because spec.activeDeadlineSeconds have passed.")
    if status.attempt_generation != job.metadata.generation and _has_not_begun(turn):
        return _stop("Edited", "Given up because the job was edited before its trainer had started.")
    if status.attempt_created:
        return None
    if not turn.gang.members and not _is_held_up(turn) and turn.age >= UNCERTAIN:
        return _stop(attempts.NEVER_SEEN, "Given up because none of its pods was ever seen.")
    return None


def _has_not_begun(turn: Turn) -> bool:
    """Whether nothing is lost by starting anew: what holds the attempt up may be what the edit has mended."""
    return not turn.status.attempt_created or all(pod.started_at is None for pod in turn.gang.members)


def _is_held_up(turn: Turn) -> bool:
    """Whether the pods are known not to have been created."""
    told = ready(turn.seen.job.status)
    was_held_up = told is not None and told.reason in _HELD_UP
    return was_held_up or turn.seen.refusal is not None or bool(squatters(turn.seen) or going(turn.seen))


def _stop(reason: str, message: str) -> Verdict:
    return Verdict(cause=Cause.STOPPED, reason=reason, message=message)


def _creating(turn: Turn) -> Decision:
    """Not all pods are there: their creation was cut short, for what we create is seen at once."""
    return concluded(
        turn,
        _obstacle(turn) or _why_it_began(turn),
        create=attempts.missing(turn.seen, turn.status, turn.gang, turn.config),
        recheck_after=_WHILE_NAMES_GO if going(turn.seen) else _RETRY,
    )


def _phase(turn: Turn) -> Phase:
    return Phase.PENDING if turn.status.attempt == 1 else Phase.RESTARTING


def _obstacle(turn: Turn) -> Headline | None:
    if strangers := squatters(turn.seen):
        text = (
            f"Somebody else's objects have names that the job needs: {listed(strangers)}. "
            "Delete them, or create the job under another name; the job goes on by itself."
        )
        return Headline(phase=_phase(turn), reason="NameTaken", message=text, is_warning=True)
    if leaving := going(turn.seen):
        text = f"Waiting until {listed(leaving)} {has(leaving)} gone, whose name the job needs."
        return Headline(phase=_phase(turn), reason="WaitingForNames", message=text)
    if turn.seen.refusal:
        text = f"The pods cannot be created: {sentence(turn.seen.refusal)} The job tries again by itself."
        return Headline(phase=_phase(turn), reason="CreationRefused", message=text, is_warning=True)
    return None


def _why_it_began(turn: Turn) -> Headline:
    """Why the attempt began stays in sight until its pods are."""
    told, phase = ready(turn.seen.job.status), _phase(turn)
    if told is None or told.reason in _HELD_UP or turn.seen.job.status.phase is not phase:
        return Headline(phase=phase, reason="Creating", message=f"Attempt {turn.status.attempt} starts at once.")
    return Headline(phase=phase, reason=told.reason, message=told.message)
