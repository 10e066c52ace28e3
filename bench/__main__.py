"""`python -m bench [operator|recovery|trainer] [--quick]`: measure, print small tables, keep the figures."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from bench import creation, lives, recovery
from bench.cluster import place
from bench.figures import keep, machine


async def operator(folder: Path, *, quick: bool) -> None:
    """From apply to pods, and whole lives."""
    before = machine()
    async with place(folder) as here:
        lived = await lives.measured(here, (10,) if quick else (100, 1000))
        print(lives.shown(lived))
        created = await creation.measured(here, creation.QUICK if quick else creation.FULL)
    print(creation.shown(created))
    keep(f"operator{'-quick' * quick}", {"created": created, "lived": lived}, before)


async def recovered(folder: Path, *, quick: bool) -> None:
    """From the end of one attempt to the next."""
    before = machine()
    async with place(folder) as here:
        figures = await recovery.measured(here, recovery.QUICK if quick else recovery.FULL)
    print(recovery.shown(figures))
    keep(f"recovery{'-quick' * quick}", figures, before)


PARTS = {"operator": operator, "recovery": recovered}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures, each figure beside its floor.")
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []], help=" | ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--folder", type=Path, help="keep logs there")
    given = parser.parse_args()
    for name in given.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="bench-") as made:
            asyncio.run(PARTS[name](given.folder or Path(made), quick=given.quick))


if __name__ == "__main__":
    main()
