"""How often trainers are asked, and whom: a bounded number at a time, each job by itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from finetune_operator.cluster.informer import Key
from finetune_operator.cluster.progress import JOBS_PER_SECOND, LONGEST_ANSWER, HttpAsk, Pace, ProgressReader, Trainer
from finetune_operator.probes import served
from finetune_trainer.contract.outcome import TrainerState

from tests.operator.cluster.worlds import ManualClock, idle
from tests.operator.core.world import World

JOB = Key("team", "bert")
SPREAD = 1.25
"""Pauses are spread by a fifth; within this many of them one has passed for certain."""


def trainer(address: str = "10.0.0.1", token: str = "ours") -> Trainer:  # noqa: S107 (a name, not a secret)
    return Trainer(address=address, port=8080, token=token)


def word(token: str = "ours", state: TrainerState = TrainerState.TRAINING) -> bytes:  # noqa: S107 (as above)
    return World().settle().word(token=token, state=state, step=7).model_dump_json(by_alias=True).encode()


class Asked:
    """Trainers that answer, and a note of who was asked."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.times: Counter[str] = Counter()
        self.answered: list[Key] = []
        self.working = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, url: str) -> bytes:
        self.times[url] += 1
        self.working += 1
        self.most = max(self.most, self.working)
        await self.gate.wait()
        self.working -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@asynccontextmanager
async def reading(clock: ManualClock, asked: Asked, *, readers: int = 16) -> AsyncIterator[ProgressReader]:
    reader = ProgressReader(clock, asked, asked.answered.append, Pace())
    task = asyncio.create_task(reader.run(readers=readers))
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_trainer_is_asked_as_soon_as_it_is_followed() -> None:
    clock, asked = ManualClock(), Asked(word())
    async with reading(clock, asked) as reader:
        reader.follow(JOB, trainer())
        await idle()
        latest = reader.latest(JOB)
        assert (latest.step if latest else None, asked.answered) == (7, [JOB])


async def test_a_trainer_that_trains_is_asked_every_ten_seconds() -> None:
    clock, asked = ManualClock(), Asked(word())
    async with reading(clock, asked) as reader:
        reader.follow(JOB, trainer())
        await idle()
        await clock.advance(7.9)
        before = asked.times.total()
        await clock.advance(10 * SPREAD - 7.9)
        assert (before, asked.times.total()) == (1, 2)


async def test_a_trainer_that_starts_is_asked_more_often() -> None:
    clock, asked = ManualClock(), Asked(word(state=TrainerState.RESTORING))
    async with reading(clock, asked) as reader:
        reader.follow(JOB, trainer())
        await idle()
        await clock.advance(2 * SPREAD)
        assert asked.times.total() == 2


@pytest.mark.parametrize("answer", [OSError("refused"), TimeoutError(), b"<html>", b"{}"], ids=repr)
async def test_a_trainer_that_says_nothing_of_use_is_asked_again(answer: bytes | Exception) -> None:
    clock, asked = ManualClock(), Asked(answer)
    async with reading(clock, asked) as reader:
        reader.follow(JOB, trainer())
        await idle()
        await clock.advance(2 * SPREAD)
        assert (asked.times.total(), asked.answered, reader.latest(JOB)) == (2, [], None)


async def test_the_last_word_stands_while_the_trainer_is_silent() -> None:
    clock, asked = ManualClock(), Asked(word())
    async with reading(clock, asked) as reader:
        reader.follow(JOB, trainer())
        await idle()
        asked.answer = OSError("refused")
        await clock.advance(10 * SPREAD)
        latest = reader.latest(JOB)
        assert (asked.times.total(), latest.step if latest else None) == (2, 7)


async def test_the_word_of_another_attempt_is_not_heard() -> None:
    clock, asked = ManualClock(), Asked(word(token="theirs"))
    async with reading(clock, asked) as reader:
        reader.follow(JOB, trainer())
        await idle()
        assert (asked.answered, reader.latest(JOB)) == ([], None)


async def test_an_answer_that_comes_after_the_attempt_is_dropped() -> None:
    clock, asked = ManualClock(), Asked(word())
    asked.gate.clear()
    async with reading(clock, asked) as reader:
        reader.follow(JOB, trainer())
        await idle()
        reader.follow(JOB, None)
        asked.gate.set()
        await idle()
        assert (asked.answered, reader.latest(JOB)) == ([], None)


async def test_nobody_is_asked_once_the_job_is_gone() -> None:
    clock, asked = ManualClock(), Asked(word())
    async with reading(clock, asked) as reader:
        reader.follow(JOB, trainer())
        await idle()
        reader.follow(JOB, None)
        await clock.advance(600)
        assert asked.times.total() == 1


async def test_with_many_jobs_each_is_asked_less_often() -> None:
    clock, asked = ManualClock(), Asked(word())
    seconds = 30
    jobs = seconds * JOBS_PER_SECOND
    async with reading(clock, asked, readers=jobs) as reader:
        for number in range(jobs):
            reader.follow(Key("team", f"job-{number}"), trainer(f"10.0.{number // 250}.{number % 250}"))
        await idle()
        await clock.advance(0.8 * seconds - 0.1)
        early = asked.times.total()
        await clock.advance(0.4 * seconds + 0.2)
        assert (early, asked.times.total()) == (jobs, 2 * jobs)


async def test_no_more_than_so_many_are_asked_at_a_time() -> None:
    clock, asked = ManualClock(), Asked(word())
    asked.gate.clear()
    async with reading(clock, asked, readers=3) as reader:
        for number in range(10):
            reader.follow(Key("team", f"job-{number}"), trainer(f"10.0.0.{number}"))
        await idle()
        most = asked.most
        asked.gate.set()
        await idle()
        assert (most, asked.times.total()) == (3, 10)


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert trainer("fd00::1").url.startswith("http://[fd00::1]:8080/")


async def test_of_an_endless_answer_no_more_is_read_than_a_trainer_can_say() -> None:
    async def endless(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(asked)
        with suppress(ConnectionError):
            while True:
                await response.write(b"x" * 2**16)
        return response  # type: ignore[unreachable]  # When the reader goes.

    application = web.Application()
    application.router.add_get("/", endless)
    ask = HttpAsk()
    async with served(application, 0) as port:
        body = await ask(f"http://127.0.0.1:{port}/")
        await ask.close()
    assert len(body) <= LONGEST_ANSWER
