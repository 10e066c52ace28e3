"""Whole lives of jobs, from apply to Complete: what the operator writes, and what it uses of the machine."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from finetune_operator.cluster.port import JOB, POD

from bench import trainers
from bench.cluster import SYSTEM, Place
from bench.contenders import GANG, indexed_job, manifest
from bench.creation import all_run
from bench.figures import table

OPERATOR = f"system:serviceaccount:{SYSTEM}:operator"
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
APART = frozenset({"events", "leases"})


def writes(place: Place, user: str) -> Counter[str]:
    """The writes of a user until now, by resource."""
    found: Counter[str] = Counter()
    for each in place.plane.audited():
        if each["user"]["username"] == user and each["verb"] in WRITES:
            target = each["objectRef"]
            found["/".join(filter(None, (target["resource"], target.get("subresource"))))] += 1
    return found


async def lived(place: Place, number: int) -> dict[str, Any]:
    """So many FineTuneJobs at once, which train and finish; the operator's writes, CPU and memory."""
    names = place.names("life", number)
    where = dict(zip(names, trainers.addresses(number), strict=True))
    uids = dict.fromkeys(where.values(), "")
    wrote, used, moved = await _written(place, OPERATOR), place.usage(), place.seen.progress_writes

    async def apply(name: str) -> None:
        made = await place.api.create(JOB, manifest(place.namespace, name, where[name]))
        uids[where[name]] = made["metadata"]["uid"]

    async with trainers.answering(uids):
        await asyncio.gather(*map(apply, names))
        await all_run(place, names)
        await have_phase(place, names, "Running")
        words = {f"{name}-1-{rank}": trainers.finished(uids[where[name]]) for name in names for rank in range(GANG)}
        await finish(place, names, words)
        await have_phase(place, names, "Succeeded")
    wrote, now = await _written(place, OPERATOR) - wrote, place.usage()
    progress = place.seen.progress_writes - moved
    await place.api.clear(place.namespace)
    own = sum(count for kind, count in wrote.items() if kind not in APART) - progress
    return {
        "jobs": number,
        "own_writes": round(own / number, 2),
        "events": round(wrote["events"] / number, 2),
        "progress_writes": round(progress / number, 2),
        "cpu_ms": round(1000 * (now.cpu_seconds - used.cpu_seconds) / number, 1),
        "peak_mib": round(now.peak_mib),
        "by_resource": {kind: round(count / number, 2) for kind, count in wrote.items()},
    }


async def lived_beside(place: Place, number: int) -> dict[str, Any]:
    """As many indexed Jobs; the job controller's writes."""
    names = place.names("beside", number)
    wrote = await _written(place, JOB_CONTROLLER)
    await asyncio.gather(*(indexed_job(place.api, place.namespace, name)() for name in names))
    await all_run(place, names)
    await have_phase(place, names, "Running")
    await finish(place, names, {})
    await have_phase(place, names, "Succeeded")
    wrote = await _written(place, JOB_CONTROLLER) - wrote
    await place.api.clear(place.namespace)
    own = sum(count for kind, count in wrote.items() if kind not in APART)
    return {"jobs": number, "own_writes": round(own / number, 2), "events": round(wrote["events"] / number, 2)}


async def _written(place: Place, user: str) -> Counter[str]:
    return await asyncio.to_thread(writes, place, user)


async def have_phase(place: Place, names: tuple[str, ...], phase: str) -> None:
    """Wait until all of them are in this phase."""
    for name in names:
        await place.seen.until(lambda name=name: place.seen.phases.get(name) == phase)  # type: ignore[misc]


async def finish(place: Place, names: tuple[str, ...], messages: dict[str, str]) -> None:
    """Let all pods of these jobs end with 0."""
    pods = [pod for name in names for pod in place.seen.created[name, 1]]
    await asyncio.gather(
        *(place.api.patch_status(POD, place.namespace, pod, trainers.succeeded(messages.get(pod, ""))) for pod in pods)
    )


async def measured(place: Place, numbers: tuple[int, ...]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The figures of this part, case by case."""
    yield "bare objects", {"own_writes": GANG + 2}
    yield f"{numbers[0]} indexed Jobs", await lived_beside(place, numbers[0])
    for number in numbers:
        yield f"{number} FineTuneJobs", await lived(place, number)


def shown(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    kinds = ("own_writes", "events", "progress_writes", "cpu_ms", "peak_mib")
    rows = [(case, *(found.get(kind, "") for kind in kinds)) for case, found in figures.items()]
    return table("per job, apply -> Complete", ("case", "writes", "events", "progress", "CPU ms", "MiB"), rows)
