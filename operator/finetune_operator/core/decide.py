"""What should happen next for one job: a pure function of what was observed.

no attempt -- begin --> attempt lives -- evidence of an end --> stopping -- last pod ended --> settled
    ^                                                                                            |
    +----------- restart, at once or after a pause; or Suspended, Succeeded, Failed <------------+
"""

from finetune_operator.api.status import FineTuneJobStatus, Phase
from finetune_operator.config import Config
from finetune_operator.core import attempts, finish, progress
from finetune_operator.core.between import between
from finetune_operator.core.decision import Decision
from finetune_operator.core.during import during
from finetune_operator.core.gang import gang, is_over
from finetune_operator.core.observed import Observed
from finetune_operator.core.turn import Turn


def decide(seen: Observed, config: Config) -> Decision:
    """Tell what should happen next; whatever ends something needs a live look at the pods first."""
    decision = _next(seen, config)
    if seen.pods_are_live or not _is_grave(seen.job.status, decision):
        return decision
    return Decision(status=seen.job.status, needs_live_pods=True)


def _next(seen: Observed, config: Config) -> Decision:
    job, status = seen.job, seen.job.status
    if job.metadata.deletion_timestamp is not None:
        return Decision(status=status)
    if finish.is_finished(job):
        return finish.kept(seen)
    if status.phase is Phase.FAILED:
        status = attempts.revived(status)
    if is_over(status):
        return between(Turn(seen=seen, config=config, status=status))
    crew = gang(seen)
    word = progress.latest(seen, crew)
    return during(Turn(seen=seen, config=config, status=progress.heard(status, word), gang=crew, word=word))


def _is_grave(old: FineTuneJobStatus, decision: Decision) -> bool:
    """Whether the decision ends something: an attempt, a pod."""
    new = decision.status
    renumbered = old.attempt > 0 and new.attempt != old.attempt
    return bool(decision.delete) or renumbered or new.last_attempts != old.last_attempts
