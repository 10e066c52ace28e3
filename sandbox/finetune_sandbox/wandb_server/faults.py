"""Trouble on demand: what a W&B server does to its clients on a bad day, for the requests that a test names.

A request's label is one line: `graphql OPERATION ROOT_FIELDS`, `file_stream ENTITY/PROJECT/RUN`, `put NAME` or
`get NAME`.
"""

import asyncio
import re
from collections import deque
from enum import StrEnum

from aiohttp import web
from pydantic import BaseModel, ConfigDict


class Effect(StrEnum):
    """What happens to the request."""

    STATUS = "status"
    """It is answered with `status` and not carried out. 401 is a key gone bad, 503 a server overloaded."""
    DROP = "drop"
    """The connection is reset without an answer; the request is not carried out."""
    LOSE = "lose"
    """The request is carried out, and then the connection is reset: the client cannot know."""
    HOLD = "hold"
    """It waits until the fault is cleared."""
    SLOW = "slow"
    """An upload is read at `bytes_per_second`."""
    TRUNCATE = "truncate"
    """The connection is reset after `after_bytes` of an upload."""


class Fault(BaseModel):
    """One kind of trouble for the requests whose label matches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effect: Effect
    match: str = ""
    """A regular expression, searched in the label; empty matches all requests."""
    times: int | None = None
    """How many requests it strikes; absent: until cleared."""
    status: int = 503
    bytes_per_second: int = 65536
    after_bytes: int = 0


class Faults:
    """The faults in force, and a record of every request that came."""

    def __init__(self) -> None:
        self.seen: deque[str] = deque(maxlen=100_000)
        """The labels of all requests, in order of arrival."""
        self._active: list[tuple[Fault, int | None]] = []
        self._cleared = asyncio.Event()

    def add(self, fault: Fault) -> None:
        """Let trouble begin."""
        self._active.append((fault, fault.times))

    def clear(self) -> None:
        """End all trouble; requests held go on."""
        self._active.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    def strike(self, label: str) -> Fault | None:
        """The fault that this request meets; the first that matches and is not used up."""
        self.seen.append(label)
        for position, (fault, left) in enumerate(self._active):
            if left != 0 and re.search(fault.match, label):
                self._active[position] = (fault, None if left is None else left - 1)
                return fault
        return None

    async def before(self, fault: Fault | None, request: web.Request) -> None:
        """What a fault does before the request is looked at."""
        if fault is None:
            return
        if fault.effect == Effect.HOLD:
            await self._cleared.wait()
        if fault.effect == Effect.DROP:
            reset(request)
        if fault.effect == Effect.STATUS:
            raise Struck(fault.status)


class Struck(Exception):
    """The request is answered with a status and nothing else."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def reset(request: web.Request) -> None:
    """Cut the connection as a dying server or network does."""
    if request.transport:
        request.transport.abort()
    raise asyncio.CancelledError
