"""From the end of an attempt's last pod to all pods of the next attempt."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from finetune_operator.build.attempt import Attempt
from finetune_operator.build.pods import pods
from finetune_operator.cluster.carry_out import batches
from finetune_operator.cluster.port import JOB, POD

from bench import trainers
from bench.cluster import CONFIG, Place
from bench.contenders import GANG, manifest, orphan, rendered
from bench.creation import all_run
from bench.figures import spread, table

ATTEMPTS = 3
"""A job that is taken more often before its first step has to wait, on purpose."""

Harm = Callable[[Place, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    jobs: int
    at_once: int


FULL = Size(jobs=34, at_once=100)
QUICK = Size(jobs=3, at_once=10)


async def preempted(place: Place, pod: str) -> None:
    """The pod has ended, and the scheduler was the cause."""
    await place.api.patch_status(POD, place.namespace, pod, trainers.preempted())


async def evicted(place: Place, pod: str) -> None:
    """The eviction API takes the pod; kwok lets it vanish at once."""
    await place.api.evict(place.namespace, pod)


async def recovered(place: Place, harm: Harm, name: str, attempt: int) -> float:
    """Take one pod of an attempt; seconds from the end of its last pod to the last pod of the next."""
    await harm(place, f"{name}-{attempt}-{GANG - 1}")
    following = (name, attempt + 1)
    await place.seen.until(lambda: place.seen.is_created(following, GANG))
    return max(place.seen.created[following].values()) - max(place.seen.ended[name, attempt].values())


async def bare(place: Place, name: str, nodes: int = GANG) -> float:
    """The floor: such pods by a client that waits for nothing, and asks for as many at once as the operator."""
    job = rendered(place.namespace, name, nodes)
    gang = [orphan(each) for each in pods(job, CONFIG, Attempt(number=1))]
    begin = time.monotonic()
    for batch in batches(gang):
        await asyncio.gather(*(place.api.create(POD, each) for each in batch))
    await all_run(place, (name,), nodes=nodes)
    return max(place.seen.created[name, 1].values()) - begin


async def applied(place: Place, prefix: str, number: int) -> tuple[str, ...]:
    """So many jobs whose pods run."""
    names = place.names(prefix, number)
    await asyncio.gather(*(place.api.create(JOB, manifest(place.namespace, name)) for name in names))
    await all_run(place, names)
    return names


async def one_by_one(place: Place, harm: Harm, number: int) -> list[float]:
    """Every job in turn, each some times."""
    names = await applied(place, "taken", number)
    found = []
    for attempt in range(1, ATTEMPTS + 1):
        for name in names:
            await all_run(place, (name,), attempt)
            found.append(await recovered(place, harm, name, attempt))
    await place.api.clear(place.namespace)
    return found


async def at_once(place: Place, number: int) -> list[float]:
    """One pod of every job at the same time, as when a pool of nodes is taken back."""
    names = await applied(place, "pool", number)
    found = await asyncio.gather(*(recovered(place, preempted, name, 1) for name in names))
    await place.api.clear(place.namespace)
    return found


async def measured(place: Place, size: Size) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The figures of this part, case by case."""
    _, *floors = [await bare(place, name) for name in place.names("floor", size.jobs + 1)]  # The first warms up.
    floor = spread(floors)

    def beside(seconds: list[float]) -> dict[str, Any]:
        found = spread(seconds)
        return found | {"ratio": round(found["p50_ms"] / floor["p50_ms"], 2)}

    yield "bare client, 4 pods", floor | {"ratio": 1.0}
    yield "preempted", beside(await one_by_one(place, preempted, size.jobs))
    yield "evicted", beside(await one_by_one(place, evicted, size.jobs))
    yield f"{size.at_once} at once", beside(await at_once(place, size.at_once))


def shown(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    rows = [(case, each["p50_ms"], each["p99_ms"], each["n"], f"{each['ratio']}x") for case, each in figures.items()]
    return table("last pod ended -> 4 pods of the next attempt", ("case", "p50 ms", "p99 ms", "n", "of bare"), rows)
