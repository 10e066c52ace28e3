"""Conditions: their types, their grammar, and the one function that changes a set of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from finetune_trainer.contract.model import Told
from pydantic import Field


class ConditionType(StrEnum):
    """The conditions a job can have."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    CHECKPOINT_NOT_DURABLE = "CheckpointNotDurable"
    TRACKING_DEGRADED = "TrackingDegraded"
    GRACE_TOO_SHORT = "GraceTooShort"


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Told):
    """One condition, as metav1.Condition has it."""

    type: ConditionType
    """What it is about."""
    status: ConditionStatus
    """Whether it holds."""
    reason: str = Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=1024)
    """Why, in one CamelCase word."""
    message: str = Field(default="", max_length=32768)
    """Why, in a sentence or two."""
    last_transition_time: datetime
    """When its status last changed."""
    observed_generation: int = Field(default=0, ge=0)
    """The generation of the spec that it judges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A condition without its time: what a pass concludes."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str = ""


def transition(
    old: Iterable[Condition], verdicts: Iterable[Verdict], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The conditions after a pass: a time moves only when a status changes; what no verdict names is gone."""
    times = {(c.type, c.status): c.last_transition_time for c in old}
    return tuple(
        Condition(
            type=v.type,
            status=v.status,
            reason=v.reason,
            message=v.message,
            last_transition_time=times.get((v.type, v.status), now),
            observed_generation=generation,
        )
        for v in verdicts
    )
