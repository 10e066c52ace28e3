"""An attempt ends: its last pods are stopped, then what comes next depends on the cause alone."""

from datetime import timedelta

from finetune_operator.api.status import Cause, FineTuneJobStatus, Phase
from finetune_operator.core import attempts, finish, restarts
from finetune_operator.core.between import between
from finetune_operator.core.causes import Verdict
from finetune_operator.core.conclusion import concluded, deletions
from finetune_operator.core.decision import Decision
from finetune_operator.core.observed import Pod
from finetune_operator.core.status import Headline
from finetune_operator.core.turn import SOON, UNCERTAIN, Turn
from finetune_operator.core.wording import has, listed

_LAST_WORDS = timedelta(seconds=30)
"""How long the other ranks may take to end by themselves after rank 0 has finished."""


def stopping(turn: Turn, found: Verdict) -> Decision:
    """Some pods have not ended: stop them, and wait; two attempts must never write to one run."""
    alive = turn.gang.alive
    overdue = [pod for pod in alive if pod.deletion_at and turn.seen.now - pod.deletion_at > UNCERTAIN]
    new = turn.at(attempts.ending(turn, found))
    victims = () if _may_say_goodbye(turn, found) else alive
    headline = _lost(overdue[0]) if overdue else _waiting(found, alive)
    return concluded(new, headline, delete=deletions(victims), recheck_after=SOON)


def _waiting(found: Verdict, alive: tuple[Pod, ...]) -> Headline:
    names = [pod.name for pod in alive]
    text = f"{found.message} Waiting until {listed(names)} {has(names)} stopped."
    is_warning = found.cause not in {Cause.FINISHED, Cause.STOPPED}
    return Headline(phase=Phase.STOPPING, reason="Stopping", message=text, is_warning=is_warning)


def _lost(pod: Pod) -> Headline:
    text = (
        f"{pod.node or 'The node'} does not confirm that {pod.name} has stopped. If the node is lost for good, delete "
        "the Node or taint it node.kubernetes.io/out-of-service; the job goes on by itself then."
    )
    return Headline(phase=Phase.STOPPING, reason="NodeUnreachable", message=text, is_warning=True)


def _may_say_goodbye(turn: Turn, found: Verdict) -> bool:
    """Ranks that have just finished together need not be killed for ending a moment apart."""
    outcome = turn.gang.first.outcome if turn.gang.first else None
    return found.cause is Cause.FINISHED and outcome is not None and turn.seen.now - outcome.ended_at < _LAST_WORDS


def settled(turn: Turn, found: Verdict) -> Decision:
    """The last pod has ended."""
    turn = turn.at(restarts.after_progress(attempts.ended(turn, found)))
    match found.cause:
        case Cause.FINISHED:
            return finish.succeeded(turn, found.message)
        case Cause.PERMANENT:
            # What is to be mended may be outside the job, a Secret for example, and nobody tells us when it is.
            return finish.failed(turn, found.reason, f"{found.message} {finish.NEXT_STEP}")
        case Cause.STOPPED:
            return between(turn)
        case Cause.PREEMPTED | Cause.INFRASTRUCTURE | Cause.FAILURE:
            return _restarted(turn, found)


def _restarted(turn: Turn, found: Verdict) -> Decision:
    """One restart more, if its budget has one left."""
    policy = turn.seen.job.spec.restart
    if limit := restarts.spent(turn.status, policy, found.cause):
        return finish.failed(turn, found.reason, f"{found.message} No restart is left: {limit}. {finish.NEXT_STEP}")
    counted = restarts.counted(turn.status, found.cause)
    wait = restarts.pause(counted, policy, found.cause)
    turn = turn.at(counted).having(restart_after=turn.seen.now + wait if wait else None)
    return between(turn, _story(turn.status, found, wait))


def _story(status: FineTuneJobStatus, found: Verdict, wait: timedelta) -> Headline:
    """What happened, what is saved, what comes next."""
    saved = attempts.checkpoint_clause(status, status.attempt_started_at)
    when = f"in {wait.total_seconds():.0f} s" if wait else "at once"
    then = f"{saved}; attempt {status.attempt + 1} starts {when}."
    is_plain = found.cause is Cause.PREEMPTED
    # Other messages hold advice of their own, after which a clause would read as part of it.
    text = f"{found.message.rstrip('.')}; {then}" if is_plain else f"{found.message} {then[:1].upper()}{then[1:]}"
    reason = "Preempted" if found.cause is Cause.PREEMPTED else found.reason
    return Headline(phase=Phase.RESTARTING, reason=reason, message=text, is_warning=True)
