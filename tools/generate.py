"""Writes every generated file, or with --check tells which differ: `python -m tools.generate [--check]`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from tools import custom_resource, training_arguments

ROOT = Path(__file__).parent.parent

SOURCES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        training_arguments.PATH: training_arguments.source,
        custom_resource.PATH: custom_resource.source,
        custom_resource.CHART_PATH: custom_resource.chart_source,
    }
)
"""The files in the order in which they depend on each other; one that changed is read by the next run."""


def main() -> int:
    """Write or check; the exit status is 1 when a checked file differs."""
    check = "--check" in sys.argv[1:]
    stale = [path for path, source in SOURCES.items() if is_stale(ROOT / path, source(), write=not check)]
    for path in stale:
        sys.stdout.write(f"{path} differs from its source: run `make generate`.\n" if check else f"Wrote {path}.\n")
    return int(check and bool(stale))


def is_stale(path: Path, text: str, *, write: bool) -> bool:
    """Whether the file differs from its source, as it was found."""
    stale = not path.exists() or path.read_text(encoding="utf-8") != text
    if stale and write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
