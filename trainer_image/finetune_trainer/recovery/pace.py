"""How long a step takes: the mean over the last ones, without the evaluations and saves between them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

OF_THE_NEWEST = 0.1
"""The share that the newest step has in the mean."""


@dataclass(slots=True)
class Pace:
    """A stopwatch for steps; the first one, which loads and compiles, is left out."""

    clock: Callable[[], float] = time.monotonic
    seconds: float = 0.0
    """The mean; 0 before the second step."""
    _since: float | None = None

    def stepped(self) -> None:
        """A step has ended."""
        now = self.clock()
        if self._since is not None:
            took = now - self._since
            self.seconds += (took - self.seconds) * (OF_THE_NEWEST if self.seconds else 1.0)
        self._since = now

    def rested(self) -> None:
        """What was done since the last step was none; the next one begins now."""
        self._since = self.clock()
