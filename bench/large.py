"""One gang of thousands: how long it takes to come, to go when one pod is taken, and to come back; who waits for it."""

import time
from collections.abc import AsyncIterator
from typing import Any

from finetune_operator.api.v1alpha1 import MOST_NODES
from finetune_operator.cluster.port import JOB, POD

from bench import trainers
from bench.cluster import Place
from bench.contenders import fine_tune_job, manifest
from bench.creation import all_run, wave
from bench.figures import table
from bench.recovery import bare

FULL, QUICK = MOST_NODES, 64
"""Pods."""


async def neighbour(place: Place) -> float:
    """Seconds until a job of four pods that is applied now has them."""
    (seconds,) = (await wave(place, fine_tune_job, "small", 1)).latencies
    return seconds


async def come(place: Place, name: str, nodes: int) -> dict[str, float]:
    """Apply the large job, and a small one as soon as half of it is there."""
    begin = time.monotonic()
    await place.api.create(JOB, manifest(place.namespace, name, nodes=nodes))
    await place.seen.until(lambda: place.seen.is_created((name, 1), nodes // 2))
    small = await neighbour(place)
    await all_run(place, (name,), nodes=nodes)
    created = max(place.seen.created[name, 1].values()) - begin
    return {"created_s": created, "running_s": time.monotonic() - begin, "neighbour_s": small}


async def taken(place: Place, name: str, nodes: int) -> dict[str, float]:
    """Take one pod, and apply a small job as soon as half of the others have ended."""
    begin = time.monotonic()
    await place.api.patch_status(POD, place.namespace, f"{name}-1-{nodes - 1}", trainers.preempted())
    await place.seen.until(lambda: len(place.seen.ended[name, 1]) >= nodes // 2)
    small = await neighbour(place)
    await place.seen.until(lambda: place.seen.is_created((name, 2), nodes))
    ended = max(place.seen.ended[name, 1].values())
    back = max(place.seen.created[name, 2].values()) - ended
    return {"ended_s": ended - begin, "created_again_s": back, "neighbour_s": small}


async def measured(place: Place, nodes: int) -> AsyncIterator[tuple[str, dict[str, float]]]:
    """The figures of this part, case by case."""
    await neighbour(place)  # The first connections cost handshakes.
    name, floor = place.names("large", 2)
    yield f"{nodes} pods come", rounded(await come(place, name, nodes))
    yield "one pod is taken", rounded(await taken(place, name, nodes))
    used = place.usage()
    yield "operator", rounded({"peak_mib": used.peak_mib, "cpu_s": used.cpu_seconds})
    await place.api.clear(place.namespace)
    yield "bare client", rounded({"created_s": await bare(place, floor, nodes)})


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """The figures as one reads them."""
    return {name: round(value, 2) for name, value in figures.items()}


def shown(found: dict[str, dict[str, Any]]) -> str:
    """The figures as a table."""
    rows = [(case, name, value) for case, each in found.items() for name, value in each.items()]
    return table("a large gang", ("when", "what", "figure"), rows)
