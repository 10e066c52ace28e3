"""Tasks that belong to one part of a cluster, and the first of them that fails."""

import asyncio
import logging
from collections.abc import Coroutine

logger = logging.getLogger(__name__)


class Crew:
    """Tasks that work until they are cancelled; one that fails instead is logged, and whoever waits for it told."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Have this done beside the rest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._look)

    async def end(self) -> None:
        """Cancel all, and wait until they have ended."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def failure(self) -> BaseException:
        """The first failure, as soon as there is one."""
        await self._failed.wait()
        assert self._failure is not None  # noqa: S101 (set before the event)
        return self._failure

    def _look(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (failure := task.exception()) is None:
            return
        logger.error("A task has failed.", exc_info=failure)
        if self._failure is None:
            self._failure = failure
            self._failed.set()
