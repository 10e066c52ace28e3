import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from finetune_operator.cluster.queue import Queue

from tests.operator.cluster.worlds import ManualClock, idle

Pass = Callable[[str], Awaitable[None]]


class Worker:
    """A pass that notes its keys and lasts until it is let go."""

    def __init__(self, *, lasts: bool = False) -> None:
        self.passes: list[str] = []
        self.working = 0
        self.most = 0
        self.gate = asyncio.Event()
        if not lasts:
            self.gate.set()

    async def __call__(self, key: str) -> None:
        self.passes.append(key)
        self.working += 1
        self.most = max(self.most, self.working)
        await self.gate.wait()
        self.working -= 1


@asynccontextmanager
async def worked_on(queue: Queue[str], one_pass: Pass, *, workers: int = 4) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.work(one_pass, workers=workers))
    await idle()
    yield
    task.cancel()
    await asyncio.wait({task})


async def test_a_key_added_twice_is_worked_on_once() -> None:
    queue, worker = Queue[str](ManualClock()), Worker()
    queue.add("a")
    queue.add("a")
    async with worked_on(queue, worker):
        assert worker.passes == ["a"]


async def test_keys_come_out_in_the_order_in_which_they_came_in() -> None:
    queue, worker = Queue[str](ManualClock()), Worker()
    for key in "cab":
        queue.add(key)
    async with worked_on(queue, worker, workers=1):
        assert worker.passes == ["c", "a", "b"]


async def test_no_two_workers_have_the_same_key() -> None:
    queue, worker = Queue[str](ManualClock()), Worker(lasts=True)
    queue.add("a")
    async with worked_on(queue, worker):
        queue.add("a")
        await idle()
        assert worker.working == 1


async def test_a_key_added_during_its_pass_gets_one_more_pass() -> None:
    queue, worker = Queue[str](ManualClock()), Worker(lasts=True)
    queue.add("a")
    async with worked_on(queue, worker):
        queue.add("a")
        queue.add("a")
        worker.gate.set()
        await idle()
        assert worker.passes == ["a", "a"]


async def test_workers_work_side_by_side_up_to_their_number() -> None:
    queue, worker = Queue[str](ManualClock()), Worker(lasts=True)
    for key in "abcde":
        queue.add(key)
    async with worked_on(queue, worker, workers=3):
        assert (worker.most, len(queue)) == (3, 2)


async def test_a_key_added_for_later_waits_for_its_time() -> None:
    clock = ManualClock()
    queue, worker = Queue[str](clock), Worker()
    queue.add_after("a", 10)
    async with worked_on(queue, worker):
        await clock.advance(9)
        before = list(worker.passes)
        await clock.advance(1)
        assert (before, worker.passes) == ([], ["a"])


async def test_the_sooner_of_two_wishes_holds() -> None:
    clock = ManualClock()
    queue, worker = Queue[str](clock), Worker()
    queue.add_after("a", 60)
    queue.add_after("a", 5)
    queue.add_after("a", 30)
    async with worked_on(queue, worker):
        await clock.advance(5)
        first = list(worker.passes)
        await clock.advance(100)
        assert (first, worker.passes) == (["a"], ["a"])


async def test_failures_are_retried_ever_later_up_to_a_minute() -> None:
    clock = ManualClock()
    queue = Queue[str](clock)
    times: list[float] = []

    async def failing(key: str) -> None:
        times.append(clock.monotonic())
        queue.add_rate_limited(key)

    queue.add("a")
    async with worked_on(queue, failing):
        await clock.advance(300)
    pauses = [round(b - a, 2) for a, b in itertools.pairwise(times)]
    assert pauses[:13] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60]


async def test_a_success_makes_the_next_retry_short_again() -> None:
    clock = ManualClock()
    queue, worker = Queue[str](clock), Worker()
    for _ in range(6):
        queue.add_rate_limited("a")
    await clock.advance(60)
    queue.forget_failures("a")
    queue.add_rate_limited("a")
    async with worked_on(queue, worker):
        await clock.advance(0.05)
        assert worker.passes == ["a", "a"]


async def test_a_dropped_key_is_not_due_any_more() -> None:
    clock = ManualClock()
    queue, worker = Queue[str](clock), Worker()
    queue.add_after("a", 5)
    queue.drop("a")
    async with worked_on(queue, worker):
        await clock.advance(10)
        assert worker.passes == []


async def test_a_stuck_pass_shows_in_the_oldest_key() -> None:
    clock = ManualClock()
    queue, worker = Queue[str](clock), Worker(lasts=True)
    queue.add("a")
    async with worked_on(queue, worker):
        await clock.advance(400)
        assert queue.oldest_seconds == 400


async def test_an_idle_queue_has_no_oldest_key() -> None:
    assert Queue[str](ManualClock()).oldest_seconds == 0
