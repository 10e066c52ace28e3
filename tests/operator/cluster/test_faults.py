"""The engine on a real API server, on its bad days."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from finetune_operator.cluster.client import ApiServer, api_server
from finetune_operator.cluster.port import CONFIG_MAP, JOB, POD
from finetune_sandbox.real_api import RealApi

from tests.operator.cluster.faulty import (
    FaultyProxy,
    answering,
    dropping_the_answer,
    held,
    request,
    telling,
)
from tests.operator.cluster.worlds import World, job, until

pytestmark = pytest.mark.control_plane


@pytest.fixture
async def faulty(proxy: FaultyProxy, tmp_path: Path) -> AsyncIterator[ApiServer]:
    """The API server as seen through the proxy."""
    server = await api_server(str(proxy.kubeconfig(tmp_path)))
    yield server
    await server.close()


@asynccontextmanager
async def training(world: World[RealApi], faulty: ApiServer) -> AsyncIterator[None]:
    """A job whose first pod runs, and an engine that knows it."""
    await world.api.create(JOB, job(namespace=world.namespace))
    async with world.at_work(faulty):
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(attemptCreated=True)
        yield


async def test_a_cut_watch_misses_no_lost_pod(world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer) -> None:
    async with training(world, faulty):
        proxy.cut_watches()
        await world.api.delete(POD, world.namespace, "a-1-0", grace_seconds=0)
        await world.has_pods("a-2-0")


async def test_a_pod_lost_in_a_gap_that_no_watch_tells_of_is_missed_and_replaced(
    world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer
) -> None:
    async with training(world, faulty):
        gap = proxy.inject(request("GET", "/pods", watch=True), answering(503, "ServiceUnavailable"))
        proxy.cut_watches()
        await gap.met.wait()
        await world.api.delete(POD, world.namespace, "a-1-0", grace_seconds=0)
        proxy.mend()
        proxy.inject(request("GET", "/pods", watch=True), answering(410, "Expired"), times=1)
        await world.has_pods("a-2-0")


@pytest.mark.parametrize("code", [410, 500])
async def test_an_error_within_a_watch_ends_nothing(
    code: int, world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer
) -> None:
    async with training(world, faulty):
        error = proxy.inject(request("GET", "/pods", watch=True), telling(code), times=3)
        proxy.cut_watches()
        await error.met.wait()
        await world.api.delete(POD, world.namespace, "a-1-0", grace_seconds=0)
        await world.has_pods("a-2-0")


async def test_an_api_server_that_is_down_at_start_is_waited_for(
    world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer
) -> None:
    await world.api.create(JOB, job(namespace=world.namespace))
    down = proxy.inject(lambda _: True, answering(503, "ServiceUnavailable"))
    async with world.at_work(faulty):
        await down.met.wait()
        proxy.mend()
        await world.has_pods("a-1-0")


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "InternalError"), (503, "ServiceUnavailable"), (429, "TooManyRequests")]
)
async def test_pods_that_could_not_be_created_at_once_are_created_later_in_the_same_attempt(
    status: int, reason: str, world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer
) -> None:
    await world.api.create(JOB, job(namespace=world.namespace, compute={"nodes": 3}))
    proxy.inject(request("POST", "/pods"), answering(status, reason), times=4)
    async with world.at_work(faulty):
        await world.has_pods("a-1-0", "a-1-1", "a-1-2")
    assert await world.attempts() == [1]


async def test_a_status_that_met_a_conflict_is_decided_anew(
    world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer
) -> None:
    await world.api.create(JOB, job(namespace=world.namespace))
    proxy.inject(request("PATCH", "/status"), answering(409, "Conflict"), times=3)
    async with world.at_work(faulty):
        await world.has_pods("a-1-0")
    assert await world.attempts() == [1]


async def test_creations_whose_answers_were_lost_make_no_twins(
    world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer
) -> None:
    await world.api.create(JOB, job(namespace=world.namespace, compute={"nodes": 2}))
    proxy.inject(request("POST", "/pods"), dropping_the_answer, times=2)
    async with world.at_work(faulty):
        await world.reaches(attemptCreated=True)
    assert (await world.names(), await world.attempts()) == (["a-1-0", "a-1-1"], [1])


async def test_a_status_whose_answer_was_lost_counts_a_restart_once(
    world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer
) -> None:
    async with training(world, faulty):
        proxy.inject(request("PATCH", "/status"), dropping_the_answer, times=1)
        await world.ends("a-1-0", kind="preempted", code=85)
        await world.has_pods("a-2-0")
        await world.reaches(attemptCreated=True)
    assert (await world.status())["restarts"]["preemptions"] == 1


async def test_a_job_deleted_during_its_pass_leaves_nothing_behind(
    world: World[RealApi], proxy: FaultyProxy, faulty: ApiServer
) -> None:
    gate = asyncio.Event()
    posting = proxy.inject(request("POST", "/pods"), held(gate))
    await world.api.create(JOB, job(namespace=world.namespace))

    async def is_empty() -> bool:
        maps = [name for name in await world.names(CONFIG_MAP) if name != "kube-root-ca.crt"]
        return not maps and not await world.names()

    async with world.at_work(faulty) as engine:
        await posting.met.wait()
        await world.api.delete(JOB, world.namespace, "a")
        await until(lambda: not len(engine.jobs))
        gate.set()
        await until(is_empty, what="an empty namespace")


async def test_two_engines_at_once_live_one_life(world: World[RealApi], faulty: ApiServer) -> None:
    await world.api.create(JOB, job(namespace=world.namespace, compute={"nodes": 2}))
    async with world.at_work(faulty), world.at_work():
        await world.has_pods("a-1-0", "a-1-1")
        await world.runs("a-1-0")
        await world.runs("a-1-1")
        await world.reaches(attemptCreated=True)
        await world.ends("a-1-0", kind="preempted", code=85)
        await world.ends("a-1-1", kind="preempted", code=85)
        await world.has_pods("a-2-0", "a-2-1")
    assert (await world.attempts(), (await world.status())["restarts"]["preemptions"]) == ([2, 1], 1)
