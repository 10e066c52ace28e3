"""From what a pass wants to a decision: status, events and acts that fit together."""

from datetime import timedelta

from finetune_operator.build.manifest import Manifest
from finetune_operator.core import progress
from finetune_operator.core.decision import Decision, Deletion
from finetune_operator.core.observed import Pod
from finetune_operator.core.status import Headline, events, side_conditions, told
from finetune_operator.core.turn import Turn


def concluded(
    turn: Turn,
    headline: Headline,
    *,
    create: tuple[Manifest, ...] = (),
    delete: tuple[Deletion, ...] = (),
    recheck_after: timedelta | None = None,
) -> Decision:
    """The decision that tells this headline and does this."""
    job, old, now = turn.seen.job, turn.seen.job.status, turn.seen.now
    side = side_conditions(old, turn.word, job.spec)
    new = told(turn.status, headline, side, job.metadata.generation, now)
    if not create and not delete and progress.may_wait(old, new):
        new = old
    return Decision(
        status=new,
        create=create,
        delete=delete,
        events=events(old, new, headline),
        recheck_after=recheck_after,
    )


def deletions(pods: tuple[Pod, ...]) -> tuple[Deletion, ...]:
    """The deletion of those pods that nobody has asked to go."""
    return tuple(Deletion(kind="Pod", name=pod.name, uid=pod.uid) for pod in pods if not pod.is_ending)
