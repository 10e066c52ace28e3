"""A queue of keys: what is added twice is worked on once, never by two workers at a time, and again after a failure."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from finetune_operator.cluster.clock import Clock, Timer

KeyT = TypeVar("KeyT", bound=Hashable)

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 60.0


class Queue(Generic[KeyT]):
    """Keys that wait, keys being worked on, and keys that are due later.

    A key that is added while a worker has it waits until that worker is done with it, and is then worked on again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[KeyT, float] = {}
        """Since when, in the order in which they came."""
        self._line: asyncio.Queue[KeyT] = asyncio.Queue()
        """The same keys; it wakes one worker for each, where an Event would wake them all."""
        self._working: dict[KeyT, float] = {}
        self._again: set[KeyT] = set()
        self._timers: dict[KeyT, tuple[float, Timer]] = {}
        self._failures: dict[KeyT, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: KeyT) -> None:
        """Ask for a pass over this key as soon as a worker is free."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = self._clock.monotonic()
            self._line.put_nowait(key)

    def add_after(self, key: KeyT, seconds: float) -> None:
        """Ask for a pass after that time; the sooner of two wishes holds."""
        due = self._clock.monotonic() + seconds
        if key in self._timers:
            if self._timers[key][0] <= due:
                return
            self._timers[key][1].cancel()
        self._timers[key] = (due, self._clock.call_later(seconds, lambda: self._due(key)))

    def add_rate_limited(self, key: KeyT) -> None:
        """Ask for another pass after a failure, each time twice as late as before."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures, 20)))

    def forget_failures(self, key: KeyT) -> None:
        """Begin anew with short retries."""
        self._failures.pop(key, None)

    def drop(self, key: KeyT) -> None:
        """Forget what is due later: the key's object is gone."""
        self.forget_failures(key)
        if timed := self._timers.pop(key, None):
            timed[1].cancel()

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest key has waited, or been worked on: what a stuck worker shows in."""
        since = [*self._working.values(), *itertools.islice(self._waiting.values(), 1)]
        return self._clock.monotonic() - min(since) if since else 0.0

    async def work(self, one_pass: Callable[[KeyT], Awaitable[None]], *, workers: int) -> None:
        """Work on keys until cancelled; `one_pass` raises nothing but what should end the process."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker(one_pass))

    async def _worker(self, one_pass: Callable[[KeyT], Awaitable[None]]) -> None:
        while True:
            key = await self._next()
            try:
                await one_pass(key)
            finally:
                self._done(key)

    async def _next(self) -> KeyT:
        key = await self._line.get()
        del self._waiting[key]
        self._working[key] = self._clock.monotonic()
        return key

    def _done(self, key: KeyT) -> None:
        del self._working[key]
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _due(self, key: KeyT) -> None:
        del self._timers[key]
        self.add(key)
