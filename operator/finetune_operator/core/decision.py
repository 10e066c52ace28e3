"""What a pass concludes, as a value; `cluster.carry_out` does it."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.build.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One object to delete, known by its uid so that a namesake survives."""

    kind: str
    """Pod, ConfigMap or Service."""
    name: str
    uid: str


class EventType(StrEnum):
    """The two types of events."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNote:
    """An event to post about the job."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What should be done now.

    Carried out in this order: the status, when it differs from the job's, with the resourceVersion seen, and nothing
    else on a conflict; `create` in its order, where an object of ours that exists already is done; `delete`;
    `events`, only when the status was written or did not differ.
    """

    status: FineTuneJobStatus
    create: tuple[Manifest, ...] = ()
    delete: tuple[Deletion, ...] = ()
    events: tuple[EventNote, ...] = ()
    recheck_after: timedelta | None = None
    """When to look again although nothing has changed."""
    needs_live_pods: bool = False
    """Observe again with a live LIST and decide anew; nothing else in this decision is to be done."""
    needs_belongings: bool = False
    """Observe again with ConfigMaps and Service listed and decide anew; as above."""
