"""Figures: percentiles, tables of at most 80 columns, files."""

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Iterable[float]) -> float:
    """The value in the middle; the lower of two."""
    return percentile(values, 0.5)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """p50 and p99 in ms, and of how many."""
    return {
        "p50_ms": round(1000 * percentile(seconds, 0.5), 1),
        "p99_ms": round(1000 * percentile(seconds, 0.99), 1),
        "n": len(seconds),
    }


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain table: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (zip(row, widths, strict=True) for row in cells)
    ]
    return "\n".join([title, lines[0], "-" * len(lines[0]), *lines[1:], ""])


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    return {
        "cores": os.cpu_count(),
        "load1": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def keep(name: str, figures: Mapping[str, Any], before: Mapping[str, Any]) -> Path:
    """Write the figures, with the machine before and after."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    content = {"before": before, "after": machine(), **figures}
    file.write_text(json.dumps(content, indent=2) + "\n")
    return file
