"""Time as a port, so that tests need not wait for it."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call."""


class Clock(Protocol):
    """What time it is, and what happens later."""

    def now(self) -> datetime:
        """The time of day, in UTC; for people and for the API."""

    def monotonic(self) -> float:
        """Seconds that only grow; for intervals."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back after that time."""

    async def sleep(self, seconds: float) -> None:
        """Return after that time."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back after that time."""
        return asyncio.get_running_loop().call_later(seconds, callback)

    async def sleep(self, seconds: float) -> None:
        """Return after that time."""
        await asyncio.sleep(seconds)
