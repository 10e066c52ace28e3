"""The ends of a job, and what becomes of its pods afterwards. What has succeeded is never run again."""

from datetime import datetime, timedelta

from finetune_operator.api.status import FineTuneJobStatus, Phase
from finetune_operator.api.unsupported import REASON, unsupported
from finetune_operator.api.v1alpha1 import FineTuneJob, ObjectMeta
from finetune_operator.core.conclusion import concluded, deletions
from finetune_operator.core.decision import Decision, Deletion
from finetune_operator.core.gang import alive, owned
from finetune_operator.core.observed import Observed
from finetune_operator.core.status import Headline, events, ready, told
from finetune_operator.core.turn import Turn

_UNREADABLE = "InvalidSpec"
_WHILE_PODS_GO = timedelta(seconds=30)
NEXT_STEP = "Edit the job, or suspend and resume it, to try again."


def is_finished(job: FineTuneJob) -> bool:
    """Whether nothing is to be done: success is for ever, failure until the author changes the job."""
    status = job.status
    if status.phase is Phase.SUCCEEDED:
        return True
    is_judged = status.phase is Phase.FAILED and status.observed_generation >= job.metadata.generation
    return is_judged and not _is_built_by_now(job)


def _is_built_by_now(job: FineTuneJob) -> bool:
    """Whether an older operator gave the job up for what this one can read and do."""
    told = ready(job.status)
    return told is not None and told.reason in {REASON, _UNREADABLE} and not unsupported(job.spec)


def succeeded(turn: Turn, message: str) -> Decision:
    """The job is done."""
    return _final(turn, Headline(phase=Phase.SUCCEEDED, reason="Finished", message=message))


def failed(turn: Turn, reason: str, message: str) -> Decision:
    """The job waits for its author."""
    return _final(turn, Headline(phase=Phase.FAILED, reason=reason, message=message, is_warning=True))


def _final(turn: Turn, headline: Headline) -> Decision:
    ttl = turn.seen.job.spec.ttl_seconds_after_finished
    after = None if ttl is None else timedelta(seconds=ttl)
    new = turn.having(finished_at=turn.seen.now, restart_after=None)
    return concluded(new, headline, delete=deletions(alive(turn.seen)), recheck_after=after)


def kept(seen: Observed) -> Decision:
    """What remains to do for a finished job: stop a pod that came late, remove the rest when its time has come."""
    status = _restamped(seen.job)
    late = deletions(alive(seen))
    ttl = seen.job.spec.ttl_seconds_after_finished
    if ttl is None or status.finished_at is None or status.cleaned_at is not None:
        return Decision(status=status, delete=late)
    left = status.finished_at + timedelta(seconds=ttl) - seen.now
    if left > timedelta():
        return Decision(status=status, delete=late, recheck_after=left)
    return _cleaned(seen, status)


def _cleaned(seen: Observed, status: FineTuneJobStatus) -> Decision:
    if not seen.pods_are_live or seen.belongings is None:
        return Decision(status=seen.job.status, needs_live_pods=True, needs_belongings=True)
    pods = owned(seen)
    if not pods and not seen.belongings:
        return Decision(status=status.model_copy(update={"cleaned_at": seen.now}))
    others = tuple(Deletion(kind=b.kind, name=b.name, uid=b.uid) for b in seen.belongings)
    return Decision(status=status, delete=(*others, *deletions(pods)), recheck_after=_WHILE_PODS_GO)


def _restamped(job: FineTuneJob) -> FineTuneJobStatus:
    """The status, which holds for this generation too."""
    generation = job.metadata.generation
    conditions = tuple(c.model_copy(update={"observed_generation": generation}) for c in job.status.conditions)
    return job.status.model_copy(update={"observed_generation": generation, "conditions": conditions})


def unreadable(meta: ObjectMeta, status: FineTuneJobStatus, problem: str, now: datetime) -> Decision:
    """The decision for a job whose spec this operator cannot read, for example one that passed an older CRD."""
    if status.phase is Phase.SUCCEEDED:
        return Decision(status=status)
    text = f"The job cannot be read: {problem} Correct the spec, or update the CRD together with the operator."
    headline = Headline(phase=Phase.FAILED, reason=_UNREADABLE, message=text, is_warning=True)
    new = told(status, headline, (), meta.generation, now)
    return Decision(status=new, events=events(status, new, headline))
