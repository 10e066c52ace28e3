"""`python -m bench.gpu --size 8b --folder DIR`: the part `gpu` with other settings than its own.

The folder keeps the weights and the data: the next command with the same size, batch, length and steps uses them.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import gpu
from bench.gpu.sizes import SIZES


def main() -> int:
    """Measure what is asked for; what is measured is kept at once."""
    parser = argparse.ArgumentParser(prog="bench.gpu", description="LoRA on a GPU, beside the stock Trainer.")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--sides", nargs="+", choices=gpu.SIDES, default=gpu.SIDES)
    for name in ("batch", "length", "steps", "settled", "turns"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--recomputes", action=argparse.BooleanOptionalAction)
    parser.add_argument("--folder", type=Path, help="keep weights, data and logs there")
    parser.add_argument("--name", help="the file in bench/results")
    given = vars(parser.parse_args())
    size, sides, folder, name = (given.pop(one) for one in ("size", "sides", "folder", "name"))
    wanted = replace(SIZES[size], **{field: value for field, value in given.items() if value is not None})
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        print(gpu.kept(folder or Path(made), wanted, name or f"gpu-{size}", sides))
    return 0


if __name__ == "__main__":
    sys.exit(main())
