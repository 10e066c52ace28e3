"""What is known in the middle of a pass: what was observed, and the status as far as it is concluded."""

import math
from dataclasses import dataclass, replace
from datetime import timedelta

from finetune_trainer.contract.outcome import Progress

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.config import Config
from finetune_operator.core.gang import Gang
from finetune_operator.core.observed import Observed

SOON = timedelta(seconds=10)
_NOBODY = Gang()
UNCERTAIN = timedelta(seconds=60)
"""After this time, what should have happened by itself has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One pass over one job."""

    seen: Observed
    config: Config
    status: FineTuneJobStatus
    gang: Gang = _NOBODY
    word: Progress | None = None
    """The trainer's newest word of this attempt."""

    def having(self, **changes: object) -> "Turn":
        """The turn with these fields of the status changed."""
        return replace(self, status=self.status.model_copy(update=changes))

    def at(self, status: FineTuneJobStatus) -> "Turn":
        """The turn with this status."""
        return replace(self, status=status)

    @property
    def is_late(self) -> bool:
        """Whether activeDeadlineSeconds have passed."""
        return self.seconds_left <= 0

    @property
    def seconds_left(self) -> float:
        """The seconds until activeDeadlineSeconds have passed, infinitely many without a deadline."""
        limit, started = self.seen.job.spec.active_deadline_seconds, self.status.started_at
        if limit is None or started is None:
            return math.inf
        return limit - (self.seen.now - started).total_seconds()

    @property
    def age(self) -> timedelta:
        """How long ago the current attempt was decided."""
        return self.seen.now - (self.status.attempt_started_at or self.seen.now)
