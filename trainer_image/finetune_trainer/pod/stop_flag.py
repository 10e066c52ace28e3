"""The wish to stop as a rank hears it: a flag that a signal sets. Stdlib only, for it must stand before torch does."""

import contextlib
import signal
import time
from pathlib import Path


class StopFlag:
    """Set by SIGUSR1 from the supervisor; cheap to read."""

    def __init__(self, stop_requested: Path) -> None:
        self._file = stop_requested
        self.is_set = False

    def install(self) -> None:
        """Listen from now on; to be called before anything slow."""
        signal.signal(signal.SIGUSR1, self._raise)

    def _raise(self, _signal: int, _frame: object) -> None:
        self.is_set = True

    def asked_at(self) -> float:
        """When the pod was asked to stop, by the wall clock."""
        with contextlib.suppress(OSError, ValueError):
            return float(self._file.read_text())
        return time.time()
