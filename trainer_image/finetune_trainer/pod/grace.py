"""The grace period of a pod: how much of it is left. Stdlib only."""

import time
from dataclasses import dataclass

from finetune_trainer.pod.stop_flag import StopFlag

TO_END = 5.0
"""Seconds of the grace period that the end of the processes takes."""
FINAL_PATIENCE = 900.0
"""How long the end of finished work waits for its last checkpoint, its model and its rows to be taken."""
SLOWEST = 2 << 20
"""Bytes a second. What is taken more slowly counts as stuck."""


def patience(least: float, size: int) -> float:
    """The seconds that `size` bytes may take on their way to a durable place."""
    return max(least, size / SLOWEST)


@dataclass(frozen=True, slots=True)
class Grace:
    """A grace period and who says when it began."""

    seconds: int
    flag: StopFlag

    @property
    def whole(self) -> float:
        """The seconds that there are for work."""
        return self.seconds - TO_END

    @property
    def left(self) -> float:
        """How many of them are left; all as long as nobody has asked to stop."""
        return self.whole - (time.time() - self.flag.asked_at())

    @property
    def to_publish(self) -> float:
        """The seconds that a last upload may take: too few are tried, too."""
        return max(self.left, 1.0)

    @property
    def to_close(self) -> float:
        """The seconds that the end of the W&B run may take."""
        return max(self.left, 2.0)
