"""`python -m bench [PART ...] [--quick]`: measure, print tables, keep the figures."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import creation, gallery, large, lives, network, recovery, steps
from bench import gpu as on_gpu
from bench.cluster import Place, place
from bench.figures import keep, machine

Measured = Callable[[Place], AsyncIterator[tuple[str, dict[str, Any]]]]
"""Figures of a place, case by case."""


async def operator(folder: Path, *, quick: bool) -> None:
    """From apply to pods, and whole lives; what is measured is kept at once."""
    before, name = machine(), f"operator{'-quick' * quick}"
    created: dict[str, Any] = {}
    lived: dict[str, Any] = {}
    async with place(folder) as here:
        async for case, figures in creation.measured(here, creation.QUICK if quick else creation.FULL):
            created[case] = figures
            keep(name, {"created": created, "lived": lived}, before)
        print(creation.shown(created), flush=True)
        async for case, figures in lives.measured(here, (10,) if quick else (100, 1000)):
            lived[case] = figures
            keep(name, {"created": created, "lived": lived}, before)
    print(lives.shown(lived))


async def recovered(folder: Path, *, quick: bool) -> None:
    """From the end of one attempt to the next."""
    measured = partial(recovery.measured, size=recovery.QUICK if quick else recovery.FULL)
    print(recovery.shown(await on_cluster(folder, f"recovery{'-quick' * quick}", measured)))


async def large_gang(folder: Path, *, quick: bool) -> None:
    """One gang of thousands."""
    measured = partial(large.measured, nodes=large.QUICK if quick else large.FULL)
    print(large.shown(await on_cluster(folder, f"large{'-quick' * quick}", measured)))


async def on_cluster(folder: Path, name: str, measured: Measured) -> dict[str, Any]:
    """The figures of a part that needs a cluster; what is measured is kept at once."""
    before, found = machine(), {}
    async with place(folder) as here:
        async for case, figures in measured(here):
            found[case] = figures
            keep(name, found, before)
    return found


async def trainer(folder: Path, *, quick: bool) -> None:
    """Steps a second."""
    before = machine()
    figures = await asyncio.to_thread(steps.measured, folder, steps.QUICK if quick else steps.FULL)
    print(steps.shown(figures))
    keep(f"trainer{'-quick' * quick}", figures, before)


async def gpu(folder: Path, *, quick: bool) -> None:
    """Tokens a second of LoRA, of a real size where there is a GPU; what is measured is kept at once."""
    size = on_gpu.TINY if quick or not shutil.which("nvidia-smi") else on_gpu.LLAMA_8B
    print(await asyncio.to_thread(on_gpu.kept, folder, size, f"gpu-{size.name}"))


async def examples(_: Path, *, quick: bool) -> None:
    """Seconds of every example, for the gallery's page."""
    before = machine()
    figures = await asyncio.to_thread(gallery.measured, gallery.QUICK if quick else gallery.FULL)
    print(gallery.shown(figures))
    kept = keep(f"examples{'-quick' * quick}", figures, before)
    if not quick:
        gallery.put_down(figures)
    if broken := gallery.failed(figures):
        raise gallery.ExamplesFailed(f"These examples failed: {', '.join(broken)}. What each said last is in {kept}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the bench."""

    measure: Callable[..., Coroutine[Any, Any, None]]
    has_cluster: bool


PARTS = {
    "operator": Part(measure=operator, has_cluster=True),
    "recovery": Part(measure=recovered, has_cluster=True),
    "large": Part(measure=large_gang, has_cluster=True),
    "trainer": Part(measure=trainer, has_cluster=False),
    "gpu": Part(measure=gpu, has_cluster=False),
    "examples": Part(measure=examples, has_cluster=False),
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures, each figure beside its floor.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" | ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--folder", type=Path, help="keep logs there")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"There is no part {', '.join(unknown)}: choose from {', '.join(PARTS)}.")
    return max(ran(name, given) for name in given.parts or PARTS)


def ran(name: str, given: argparse.Namespace) -> int:
    """Run one part; its exit code."""
    if PARTS[name].has_cluster and not given.inside:
        options = ("--quick",) * given.quick + (("--folder", str(given.folder)) if given.folder else ())
        return network.inside((name, *options))
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        try:
            asyncio.run(PARTS[name].measure(given.folder or Path(made), quick=given.quick))
        except gallery.ExamplesFailed as failure:
            print(failure)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
