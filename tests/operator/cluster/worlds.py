"""What tests of the cluster floor stand on: a clock that they move, and a job."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_operator.cluster.port import Manifest

PATIENCE_SECONDS = 20


class Alarm:
    """A call that is due later."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the call."""
        self.callback = None


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._due: list[tuple[float, int, Alarm]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        """The time of day."""
        return datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._seconds

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call back once the clock is there."""
        alarm = Alarm(callback)
        heapq.heappush(self._due, (self._seconds + seconds, next(self._numbers), alarm))
        return alarm

    async def sleep(self, seconds: float) -> None:
        """Return once the clock is there."""
        rang = asyncio.Event()
        self.call_later(seconds, rang.set)
        await rang.wait()

    async def advance(self, seconds: float) -> None:
        """Move on, and let whoever was waiting do what it can."""
        end = self._seconds + seconds
        while self._due and self._due[0][0] <= end:
            self._seconds, _, alarm = heapq.heappop(self._due)
            if alarm.callback:
                alarm.callback()
            await idle()
        self._seconds = end
        await idle()


async def idle() -> None:
    """Let every task run as far as it comes without time passing."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(holds: Callable[[], Any], *, what: str = "the condition") -> Any:
    """What it gives once that is something; fail when it is nothing for too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = holds()
                if found := await found if asyncio.iscoroutine(found) else found:
                    return found
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not come about in {PATIENCE_SECONDS} s") from None


def job(name: str = "a", namespace: str = "default", **spec: Any) -> Manifest:
    """A job as its author writes it."""
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "task": "text-classification",
            "model": {"uri": "hf://google-bert/bert-base-uncased"},
            "dataset": {"uri": "hf://nyu-mll/glue", "columns": {"text": ["sentence"], "label": "label"}},
            "wandb": {"project": "demo", "secretRef": {"name": "wandb"}},
        }
        | spec,
    }
