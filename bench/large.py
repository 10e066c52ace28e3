"""One gang of thousands: how long it takes to come, to go when one pod is taken, and to come back; who waits for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from finetune_operator.build.attempt import Attempt
from finetune_operator.build.pods import pods
from finetune_operator.cluster.observe import parsed
from finetune_operator.cluster.port import JOB, POD, Manifest

from bench import trainers
from bench.cluster import CONFIG, Place
from bench.contenders import GANG, manifest, orphan
from bench.figures import table

FULL, QUICK = 4096, 64
"""Pods; the most that a job may have."""
AT_ONCE = 32
"""Requests under way together, as the operator has them."""


def wanted(place: Place, name: str, nodes: int) -> Manifest:
    """A job of so many pods of one GPU."""
    job = manifest(place.namespace, name)
    return job | {"spec": job["spec"] | {"compute": {"nodes": nodes, "gpusPerNode": 1}}}


async def bare(place: Place, name: str, nodes: int) -> float:
    """The floor: seconds until a bare client's pods are all there."""
    job = wanted(place, name, nodes)
    job["metadata"] |= {"uid": name, "resourceVersion": "1", "generation": 1}
    job["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    gang = [orphan(each) for each in pods(parsed(job), CONFIG, Attempt(number=1))]
    begin = time.monotonic()
    for start in range(0, nodes, AT_ONCE):
        await asyncio.gather(*(place.api.create(POD, each) for each in gang[start : start + AT_ONCE]))
    await place.seen.until(lambda: place.seen.is_created((name, 1), nodes))
    return max(place.seen.created[name, 1].values()) - begin


async def neighbour(place: Place) -> float:
    """Seconds until a job of four pods that is applied now has them."""
    (name,) = place.names("small", 1)
    begin = time.monotonic()
    await place.api.create(JOB, manifest(place.namespace, name))
    await place.seen.until(lambda: place.seen.is_created((name, 1), GANG))
    return max(place.seen.created[name, 1].values()) - begin


async def come(place: Place, name: str, nodes: int) -> dict[str, float]:
    """Apply the large job, and a small one as soon as half of it is there."""
    begin = time.monotonic()
    await place.api.create(JOB, wanted(place, name, nodes))
    await place.seen.until(lambda: place.seen.is_created((name, 1), nodes // 2))
    small = await neighbour(place)
    await place.seen.until(lambda: place.seen.is_running((name, 1), nodes))
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
    yield "comes", rounded(await come(place, name, nodes))
    yield "one pod is taken", rounded(await taken(place, name, nodes))
    used = place.usage()
    yield "operator", rounded({"peak_mib": used.peak_mib, "cpu_s": used.cpu_seconds})
    await place.api.clear(place.namespace)
    yield "bare client", rounded({"created_s": await bare(place, floor, nodes)})


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """The figures as one reads them."""
    return {name: round(value, 2) for name, value in figures.items()}


def shown(found: dict[str, dict[str, Any]], nodes: int) -> str:
    """The figures as a table."""
    rows = [(case, name, value) for case, each in found.items() for name, value in each.items()]
    return table(f"a gang of {nodes} pods", ("when", "what", "figure"), rows)
