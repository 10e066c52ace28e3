import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from finetune_operator.cluster.lease import Election, LeaseLost
from finetune_operator.cluster.port import LEASE, Cluster, Kind, Manifest, Unavailable
from finetune_operator.main import won
from finetune_sandbox.memory_api import MemoryApi

from tests.operator.cluster.worlds import ManualClock, idle


class Flaky(MemoryApi):
    """An API that can be out of reach."""

    is_down = False

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        if self.is_down:
            raise Unavailable("down")
        return await super().get(kind, namespace, name)


def election(cluster: Cluster, clock: ManualClock, identity: str) -> Election:
    return Election(cluster, clock, namespace="default", name="operator", identity=identity)


async def holder(cluster: Cluster) -> str:
    lease = await cluster.get(LEASE, "default", "operator")
    assert lease is not None
    found: str = lease["spec"]["holderIdentity"]
    return found


@asynccontextmanager
async def background(*elections: Election) -> AsyncIterator[list[asyncio.Task[None]]]:
    async def part(one: Election) -> None:
        await one.win()
        await one.hold()

    tasks = [asyncio.create_task(part(one)) for one in elections]
    await idle()
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_the_first_creates_the_lease_and_leads() -> None:
    cluster, clock = MemoryApi(), ManualClock()
    await election(cluster, clock, "one").win()
    assert await holder(cluster) == "one"


async def test_the_second_stands_by_while_the_first_renews() -> None:
    cluster, clock = MemoryApi(), ManualClock()
    async with background(election(cluster, clock, "one"), election(cluster, clock, "two")):
        for _ in range(60):
            await clock.advance(1)
        assert await holder(cluster) == "one"


async def test_a_leader_that_has_died_is_followed_within_the_duration() -> None:
    cluster, clock = MemoryApi(), ManualClock()
    await election(cluster, clock, "one").win()
    async with background(election(cluster, clock, "two")):
        await clock.advance(12)
        before = await holder(cluster)
        await clock.advance(6)
        assert (before, await holder(cluster)) == ("one", "two")


async def test_a_released_lease_is_taken_at_the_next_try() -> None:
    cluster, clock = MemoryApi(), ManualClock()
    first = election(cluster, clock, "one")
    await first.win()
    async with background(election(cluster, clock, "two")):
        await first.release()
        await clock.advance(2.5)
        assert await holder(cluster) == "two"


async def test_a_leader_whose_lease_was_taken_learns_it_at_its_next_try() -> None:
    cluster, clock = MemoryApi(), ManualClock()
    first = election(cluster, clock, "one")
    await first.win()
    lease = await cluster.get(LEASE, "default", "operator")
    assert lease is not None
    await cluster.replace(LEASE, lease | {"spec": lease["spec"] | {"holderIdentity": "thief"}})
    held = asyncio.create_task(first.hold())
    await idle()
    await clock.advance(2)
    with pytest.raises(LeaseLost, match="thief holds the lease"):
        await held


async def test_a_leader_that_cannot_renew_stops_before_another_may_begin() -> None:
    cluster, clock = Flaky(), ManualClock()
    first = election(cluster, clock, "one")
    await first.win()
    held = asyncio.create_task(first.hold())
    await idle()
    cluster.is_down = True
    for _ in range(10):
        await clock.advance(1)
    with pytest.raises(LeaseLost, match="could not renew"):
        await held


async def test_a_short_outage_costs_nothing() -> None:
    cluster, clock = Flaky(), ManualClock()
    first = election(cluster, clock, "one")
    await first.win()
    held = asyncio.create_task(first.hold())
    await idle()
    cluster.is_down = True
    await clock.advance(8)
    cluster.is_down = False
    await clock.advance(20)
    assert not held.done()
    held.cancel()


async def test_a_lease_that_says_nothing_is_taken() -> None:
    cluster, clock = MemoryApi(), ManualClock()
    await cluster.create(LEASE, {"metadata": {"name": "operator", "namespace": "default"}})
    await election(cluster, clock, "one").win()
    assert await holder(cluster) == "one"


class Broken(MemoryApi):
    """An API whose client has a defect."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        raise RuntimeError(f"no way to {kind.plural} {namespace}/{name}")


async def test_a_standby_whose_election_fails_does_not_lead() -> None:
    with pytest.raises(RuntimeError, match="no way to leases default/operator"):
        await won(election(Broken(), ManualClock(), "one"), asyncio.Event())


async def test_a_standby_that_is_asked_to_stop_does_not_lead() -> None:
    cluster, clock, stop = MemoryApi(), ManualClock(), asyncio.Event()
    await election(cluster, clock, "one").win()
    stop.set()
    assert not await won(election(cluster, clock, "two"), stop)


async def test_the_winner_leads() -> None:
    assert await won(election(MemoryApi(), ManualClock(), "one"), asyncio.Event())


async def test_of_two_that_begin_together_one_leads() -> None:
    cluster, clock = MemoryApi(), ManualClock()
    async with background(election(cluster, clock, "one"), election(cluster, clock, "two")) as tasks:
        await clock.advance(30)
        assert [task.done() for task in tasks] == [False, False]
    lease = await cluster.get(LEASE, "default", "operator")
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 0


async def test_giving_back_what_another_holds_changes_nothing() -> None:
    cluster, clock = MemoryApi(), ManualClock()
    await election(cluster, clock, "one").win()
    await election(cluster, clock, "two").release()
    assert await holder(cluster) == "one"
