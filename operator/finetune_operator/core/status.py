"""From one headline to phase, conditions and events: what the job is doing, in a word and a sentence.

`Ready` is always there. `Reconciling` and `Stalled` are there only while they hold, and never together.
"""

from dataclasses import dataclass
from datetime import datetime

from finetune_trainer.contract.outcome import Progress

from finetune_operator.api.conditions import Condition, ConditionStatus, ConditionType, Verdict, transition
from finetune_operator.api.status import FineTuneJobStatus, Phase
from finetune_operator.api.v1alpha1 import FineTuneJobSpec
from finetune_operator.core.decision import EventNote, EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The state of a job as one would tell it."""

    phase: Phase
    reason: str
    message: str
    is_warning: bool = False
    """Whether somebody should look."""
    is_certain: bool = True
    """False when the node with the pods no longer answers."""


_SIDE = (ConditionType.CHECKPOINT_NOT_DURABLE, ConditionType.TRACKING_DEGRADED, ConditionType.GRACE_TOO_SHORT)


def told(
    status: FineTuneJobStatus, headline: Headline, side: tuple[Verdict, ...], generation: int, now: datetime
) -> FineTuneJobStatus:
    """The status with phase and conditions of this headline."""
    verdicts = (*_verdicts(headline), *side)
    return status.model_copy(
        update={
            "observed_generation": generation,
            "phase": headline.phase,
            "conditions": transition(status.conditions, verdicts, generation, now),
        }
    )


def ready(status: FineTuneJobStatus) -> Condition | None:
    """The Ready condition, which carries the headline's reason and message."""
    return next((c for c in status.conditions if c.type is ConditionType.READY), None)


def events(old: FineTuneJobStatus, new: FineTuneJobStatus, headline: Headline) -> tuple[EventNote, ...]:
    """One event when the story has moved on; another wording of the same is no news."""
    before = ready(old)
    if before is not None and (before.reason, old.phase) == (headline.reason, new.phase) and old.attempt == new.attempt:
        return ()
    kind = EventType.WARNING if headline.is_warning else EventType.NORMAL
    return (EventNote(type=kind, reason=headline.reason, message=headline.message),)


def _verdicts(headline: Headline) -> tuple[Verdict, ...]:
    def holds(kind: ConditionType, status: ConditionStatus = ConditionStatus.TRUE) -> Verdict:
        return Verdict(type=kind, status=status, reason=headline.reason, message=headline.message)

    no = ConditionStatus.FALSE
    match headline.phase:
        case Phase.SUCCEEDED:
            return holds(ConditionType.READY), holds(ConditionType.COMPLETE)
        case Phase.FAILED:
            return holds(ConditionType.READY, no), holds(ConditionType.STALLED), holds(ConditionType.FAILED)
        case Phase.SUSPENDED:
            return holds(ConditionType.READY, no), holds(ConditionType.SUSPENDED)
        case Phase.RUNNING if headline.is_certain:
            return (holds(ConditionType.READY),)
        case Phase.RUNNING:
            return holds(ConditionType.READY, ConditionStatus.UNKNOWN), holds(ConditionType.RECONCILING)
        case Phase.PENDING | Phase.STARTING | Phase.STOPPING | Phase.RESTARTING:
            return holds(ConditionType.READY, no), holds(ConditionType.RECONCILING)


def side_conditions(status: FineTuneJobStatus, word: Progress | None, spec: FineTuneJobSpec) -> tuple[Verdict, ...]:
    """What else is to be said: from the trainer's word, or as it was while the trainer is silent."""
    said = _as_before(status) if word is None else _from(word)
    lasting = _nothing_durable(spec)
    return (*(v for v in said if v.type != lasting.type), lasting) if lasting else said


def _as_before(status: FineTuneJobStatus) -> tuple[Verdict, ...]:
    return tuple(
        Verdict(type=c.type, status=c.status, reason=c.reason, message=c.message)
        for c in status.conditions
        if c.type in _SIDE and c.reason != _NO_STORE
    )


def _from(word: Progress) -> tuple[Verdict, ...]:
    said = (
        (ConditionType.CHECKPOINT_NOT_DURABLE, "NotPublished", word.not_durable),
        (ConditionType.TRACKING_DEGRADED, "TrackingServerUnreachable", word.tracking_degraded),
        (ConditionType.GRACE_TOO_SHORT, "SaveTakesLonger", word.grace_too_short),
    )
    return tuple(
        Verdict(type=kind, status=ConditionStatus.TRUE, reason=reason, message=message)
        for kind, reason, message in said
        if message
    )


_NO_STORE = "NoDurableStore"


def _nothing_durable(spec: FineTuneJobSpec) -> Verdict | None:
    """Without artifacts and without a volume, checkpoints die with the pod."""
    wandb = spec.wandb
    has_artifacts = wandb.mode not in {"offline", "disabled"} and wandb.log_model != "false"
    if spec.checkpoint.volume is not None or has_artifacts:
        return None
    return Verdict(
        type=ConditionType.CHECKPOINT_NOT_DURABLE,
        status=ConditionStatus.TRUE,
        reason=_NO_STORE,
        message=(
            "Checkpoints live only as long as the pod, so a restart begins at step 0. "
            "Name a volume in checkpoint.volume, or let W&B store artifacts."
        ),
    )
