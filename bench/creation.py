"""From `apply` to all pods created: one job, a steady rate, bursts; beside a bare client and the built-in Job."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from bench.cluster import Place
from bench.contenders import CONTENDERS, GANG, Act, Contender
from bench.figures import median, spread, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    singles: int
    at_rate: int
    rates: tuple[float, ...]
    """Jobs a second."""
    bursts: tuple[tuple[int, int], ...]
    """Jobs of a burst, and how often it is repeated."""


FULL = Size(singles=30, at_rate=100, rates=(5, 10, 20), bursts=((100, 3), (1000, 1)))
QUICK = Size(singles=5, at_rate=20, rates=(20,), bursts=((20, 1),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """The jobs of one run of one contender."""

    applied: dict[str, float]
    created: dict[str, float]

    @property
    def latencies(self) -> list[float]:
        """Seconds from apply to the last pod, by job."""
        return [self.created[name] - at for name, at in self.applied.items()]

    @property
    def wall(self) -> float:
        """Seconds from the first apply to the last pod."""
        return max(self.created.values()) - min(self.applied.values())

    @property
    def behind(self) -> float:
        """Seconds from the last apply to the last pod."""
        return max(self.created.values()) - max(self.applied.values())


async def wave(place: Place, contender: Contender, prefix: str, number: int, interval: float = 0) -> Wave:
    """Apply so many jobs, one each interval or all at once, and wait until their pods run."""
    acts = {name: contender(place.api, place.namespace, name) for name in place.names(prefix, number)}
    applied: dict[str, float] = {}
    begin = time.monotonic()

    async def apply(order: int, name: str, act: Act) -> None:
        await asyncio.sleep(max(0.0, begin + order * interval - time.monotonic()))
        applied[name] = time.monotonic()
        await act()

    await asyncio.gather(*(apply(order, name, act) for order, (name, act) in enumerate(acts.items())))
    await all_run(place, acts)
    created = {name: max(place.seen.created[name, 1].values()) for name in acts}
    return Wave(applied=applied, created=created)


async def all_run(place: Place, jobs: Iterable[str], attempt: int = 1, nodes: int = GANG) -> None:
    """Wait until all pods of these jobs run."""
    for name in jobs:
        gang = (name, attempt)
        await place.seen.until(lambda gang=gang: place.seen.is_running(gang, nodes))  # type: ignore[misc]


async def measured(place: Place, size: Size) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The figures of this part, case by case."""
    for contender in CONTENDERS.values():  # The first connections cost handshakes.
        await wave(place, contender, "warm", 4)
    yield "single", await singles(place, size.singles)
    for rate in size.rates:
        yield f"{size.at_rate} at {rate:.0f}/s", await at_rate(place, size.at_rate, rate)
    for number, times in size.bursts:
        yield f"burst of {number}", await burst(place, number, times)


async def singles(place: Place, times: int) -> dict[str, Any]:
    """One job after the other, contenders in turn."""
    waves: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(times):
        for name, contender in CONTENDERS.items():
            waves[name] += (await wave(place, contender, "single", 1)).latencies
    await place.api.clear(place.namespace)
    return compared({name: spread(latencies) for name, latencies in waves.items()}, "p50_ms")


async def at_rate(place: Place, number: int, rate: float) -> dict[str, Any]:
    """A steady rate; and what each job costs all servers together, which says how many a machine can bear."""
    found: dict[str, dict[str, Any]] = {}
    for name, contender in CONTENDERS.items():
        used = place.cpu()
        done = await wave(place, contender, "rate", number, 1 / rate)
        costs = {program: round(ms / number, 1) for program, ms in (place.cpu() - used).most_common()}
        half = len(done.latencies) // 2
        drift = median(done.latencies[half:]) / median(done.latencies[:half])
        about = {"behind_s": round(done.behind, 2), "drift": round(drift, 2), "cpu_ms": round(sum(costs.values()), 1)}
        found[name] = spread(done.latencies) | about | {"cpu_ms_of": costs}
        await place.api.clear(place.namespace)
    return compared(found, "p50_ms")


async def burst(place: Place, number: int, times: int) -> dict[str, Any]:
    """Many jobs at once, contenders in turn."""
    walls: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(times):
        for name, contender in CONTENDERS.items():
            walls[name].append((await wave(place, contender, "burst", number)).wall)
            await place.api.clear(place.namespace)
    return compared({name: {"wall_s": round(median(each), 2), "n": times} for name, each in walls.items()}, "wall_s")


def compared(found: dict[str, dict[str, Any]], figure: str) -> dict[str, Any]:
    """The figures, each with its ratio to the bare client's."""
    floor = found["bare"][figure]
    return {name: figures | {"ratio": round(figures[figure] / floor, 2)} for name, figures in found.items()}


def shown(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    rows = []
    for case, found in figures.items():
        for name, each in found.items():
            value = f"{each['wall_s']} s" if "wall_s" in each else f"{each['p50_ms']} / {each['p99_ms']} ms"
            behind = f"{each['behind_s']} s" if "behind_s" in each else ""
            rows.append((case, name, value, f"{each['ratio']:.2f}x", behind, each.get("cpu_ms", "")))
    return table("apply -> 4 pods created", ("case", "by", "p50 / p99, wall", "of bare", "behind", "CPU ms"), rows)
