"""No attempt is under way: begin the next, unless something stands against it."""

from datetime import timedelta

from finetune_operator.api.status import Phase
from finetune_operator.api.unsupported import REASON, unsupported
from finetune_operator.core import attempts, finish
from finetune_operator.core.conclusion import concluded, deletions
from finetune_operator.core.decision import Decision
from finetune_operator.core.gang import alive, owned
from finetune_operator.core.status import Headline, ready
from finetune_operator.core.turn import SOON, Turn
from finetune_operator.core.wording import has, listed

_FIRST_LOOK = timedelta(seconds=5)


def between(turn: Turn, story: Headline | None = None) -> Decision:
    """The decision while no attempt is under way; `story` tells why the last one ended, when it just has."""
    if refusal := _standing_against(turn):
        return refusal
    if leftover := alive(turn.seen):
        names = [pod.name for pod in leftover]
        text = f"Waiting until {listed(names)} of an earlier attempt {has(names)} ended."
        headline = Headline(phase=Phase.RESTARTING, reason="WaitingForPods", message=text)
        return concluded(turn, headline, delete=deletions(leftover), recheck_after=SOON)
    due = turn.status.restart_after
    if due is not None and due > turn.seen.now:
        wait = min((due - turn.seen.now).total_seconds(), turn.seconds_left)
        return concluded(turn, story or _as_told(turn), recheck_after=timedelta(seconds=wait))
    return _begun(turn, story)


def _standing_against(turn: Turn) -> Decision | None:
    spec = turn.seen.job.spec
    if spec.suspend:
        return _suspended(turn)
    if turn.is_late:
        text = f"The job has not finished within {spec.active_deadline_seconds} s (spec.activeDeadlineSeconds)."
        return finish.failed(turn, "DeadlineExceeded", f"{text} {finish.NEXT_STEP}")
    if asked := unsupported(spec):
        return finish.failed(turn, REASON, " ".join(f"{wish.field}: {wish.message}" for wish in asked))
    return None


def _suspended(turn: Turn) -> Decision:
    saved = attempts.checkpoint_clause(turn.status, None)
    text = f"Suspended; {saved}. Set spec.suspend to false to go on."
    headline = Headline(phase=Phase.SUSPENDED, reason="Suspended", message=text)
    # The deadline counts from the resume on, as that of a batch/Job.
    new = turn.having(restart_after=None, started_at=None)
    # A pod whose creation came through late must go all the same: its GPUs count as given back.
    return concluded(new, headline, delete=deletions(alive(turn.seen)))


def _as_told(turn: Turn) -> Headline:
    """The headline as it stands: the pause before a restart goes on."""
    told = ready(turn.seen.job.status)
    if told is None or turn.seen.job.status.phase is not Phase.RESTARTING:
        return Headline(phase=Phase.RESTARTING, reason="Restarting", message="The next attempt starts after a pause.")
    return Headline(phase=Phase.RESTARTING, reason=told.reason, message=told.message, is_warning=True)


def _begun(turn: Turn, story: Headline | None) -> Decision:
    new = attempts.begun(turn.seen, turn.status)
    phase = Phase.PENDING if new.attempt == 1 else Phase.RESTARTING
    return concluded(
        turn.at(new),
        story or Headline(phase=phase, reason="Creating", message=f"Attempt {new.attempt} starts at once."),
        create=attempts.manifests(turn.seen, new, turn.config),
        delete=deletions(owned(turn.seen)),
        recheck_after=_FIRST_LOOK,
    )
