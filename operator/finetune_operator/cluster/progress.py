"""What the trainers say while they run, read from rank 0's /progress; whoever does not answer degrades nothing here.

A second queue does the pacing: a bounded number of readers, one question per job at a time, the next one after a pause.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from finetune_trainer.contract.environment import PROGRESS_PATH
from finetune_trainer.contract.outcome import Progress, TrainerState
from pydantic import ValidationError

from finetune_operator.api.legible import legible_json
from finetune_operator.cluster.clock import Clock
from finetune_operator.cluster.informer import Key
from finetune_operator.cluster.queue import Queue

logger = logging.getLogger(__name__)

TIMEOUT = aiohttp.ClientTimeout(total=5)
LONGEST_ANSWER = 2**16
JOBS_PER_SECOND = 20
"""With more jobs than this times `Pace.shortest`, each is asked less often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The seconds between two questions to one trainer."""

    starting: float = 2
    """Until it trains."""
    shortest: float = 10
    longest: float = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Where rank 0 of an attempt answers, and the token that proves that it is this attempt."""

    address: str
    port: int
    token: str

    @property
    def url(self) -> str:
        """The address of its progress."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}{PROGRESS_PATH}"


Ask = Callable[[str], Awaitable[bytes]]
"""The body at a URL; raises OSError, aiohttp.ClientError or TimeoutError."""


class ProgressReader:
    """Follows the trainers that it is told to follow."""

    def __init__(self, clock: Clock, ask: Ask, answered: Callable[[Key], None], pace: Pace | None = None) -> None:
        self._ask = ask
        self._answered = answered
        self._pace = pace or Pace()
        self._queue: Queue[Key] = Queue(clock)
        self._followed: dict[Key, Trainer] = {}
        self._words: dict[Key, Progress] = {}

    def follow(self, key: Key, trainer: Trainer | None) -> None:
        """Read this trainer's progress from now on, none when the job has none that runs."""
        if trainer == self._followed.get(key):
            return
        self._words.pop(key, None)
        if trainer is None:
            del self._followed[key]
            self._queue.drop(key)
        else:
            self._followed[key] = trainer
            self._queue.add(key)

    def latest(self, key: Key) -> Progress | None:
        """What the trainer that is followed said last."""
        return self._words.get(key)

    async def run(self, *, readers: int = 16) -> None:
        """Read until cancelled."""
        await self._queue.work(self._read, workers=readers)

    async def _read(self, key: Key) -> None:
        trainer = self._followed.get(key)
        if trainer is None:
            return
        word = await self._word(trainer)
        if self._followed.get(key) != trainer:
            return
        if word is not None:
            self._words[key] = word
            self._answered(key)
        self._queue.add_after(key, self._pause(self._words.get(key)))

    async def _word(self, trainer: Trainer) -> Progress | None:
        try:
            word = legible_json(Progress, await self._ask(trainer.url))
        except (OSError, TimeoutError, aiohttp.ClientError, ValidationError) as silence:
            logger.debug("No progress from %s: %r", trainer.url, silence)
            return None
        # The address may have been given to somebody else's pod meanwhile.
        return word if word.token == trainer.token else None

    def _pause(self, word: Progress | None) -> float:
        if word is None or word.state in {TrainerState.STARTING, TrainerState.RESTORING}:
            seconds = self._pace.starting
        else:
            crowded = len(self._followed) / JOBS_PER_SECOND
            seconds = min(self._pace.longest, max(self._pace.shortest, crowded))
        return seconds * random.uniform(0.8, 1.2)  # noqa: S311 (spread)


class HttpAsk:
    """Asks over HTTP; close it when done."""

    def __init__(self) -> None:
        # No keep-alive: a connection per job and no proxy, pods are near.
        self._session = aiohttp.ClientSession(timeout=TIMEOUT, connector=aiohttp.TCPConnector(force_close=True))

    async def __call__(self, url: str) -> bytes:
        """The body at a URL, as far as an answer of a trainer can be long."""
        async with self._session.get(url) as response:
            response.raise_for_status()
            return await response.content.read(LONGEST_ANSWER)

    async def close(self) -> None:
        """End what is open."""
        await self._session.close()
