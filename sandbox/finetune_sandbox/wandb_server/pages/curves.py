"""From the histories of runs to pictures."""

import fnmatch
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from finetune_sandbox.wandb_server.pages import addresses
from finetune_sandbox.wandb_server.pages.charts import Line, chart
from finetune_sandbox.wandb_server.pages.markup import Markup, element
from finetune_sandbox.wandb_server.records import RunRecord

STEP = "train/global_step"
FIRST = ("train/loss", "eval/loss")
TIME = "time"
GROUPS = ("train", "eval", "test", "", TIME)
"""In this order; the empty place is for all others."""
OF_TIME = ("*_runtime", "*_per_second", "*/epoch")
SLOTS = 8
SHORTEST_PAUSE = 2.0
"""Seconds; and a pause is so many times as long as rows usually lie apart:"""
UNUSUAL = 8.0

Row = Mapping[str, Any]


def charts(runs: Sequence[RunRecord]) -> Markup:
    """All that the runs have logged as numbers, by the first part of its name; what tells of time only is folded."""
    groups: dict[str, list[Markup]] = {}
    ends = _ends(runs)
    for name in quantities(runs):
        groups.setdefault(_group(name), []).append(_chart(name, runs, ends))
    made = (
        element(
            "details",
            element("summary", title),
            element("div", found, class_="charts"),
            open=title != TIME,
            id=f"of-{title}",
        )
        for title, found in groups.items()
    )
    return element("div", legend(runs), _pauses_told(runs), made) if groups else Markup()


def _group(name: str) -> str:
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in OF_TIME):
        return TIME
    return name.partition("/")[0] if "/" in name else "others"


def _ends(runs: Sequence[RunRecord]) -> tuple[float, float]:
    """The first and the last step of all runs."""
    steps = [row.get(STEP, row.get("_step", 0)) for run in runs for row in run.history]
    return (min(steps), max(steps)) if steps else (0.0, 0.0)


def _pauses_told(runs: Sequence[RunRecord]) -> Markup | None:
    if not runs or not any(pauses(runs[0].history)):
        return None
    return element("p", "Dotted: nothing was logged for a while before this step, as after a restart.", class_="note")


def legend(runs: Sequence[RunRecord]) -> Markup | None:
    """Which line is whose; nothing for a single run."""
    if len(runs) < 2:
        return None
    return element(
        "ul",
        (
            element("li", _sample(slot), element("a", each.display_name, href=addresses.run(each)))
            for slot, each in enumerate(runs)
        ),
        class_="legend",
        aria_label="Runs",
    )


def quantities(runs: Sequence[RunRecord]) -> list[str]:
    """What has a curve: train and eval first, their losses before all. What was said once is in the summary."""
    counts = [Counter(n for row in run.history for n, value in row.items() if _is_drawn(n, value)) for run in runs]
    found = {name: max(each[name] for each in counts) for each in counts for name in each}
    enough = min(2, max(found.values(), default=0))
    return sorted((name for name, most in found.items() if most >= enough), key=_place)


def _place(name: str) -> tuple[int, int, str]:
    group = _group(name)
    return GROUPS.index(group) if group in GROUPS else 3, FIRST.index(name) if name in FIRST else len(FIRST), name


def points(history: Iterable[Row], name: str) -> Iterator[tuple[float, float]]:
    """A quantity over the training steps, or over the history's own where a row does not tell them."""
    for row in history:
        if _is_drawn(name, row.get(name)):
            yield row.get(STEP, row.get("_step", 0)), row[name]


def pauses(history: Sequence[Row]) -> Iterator[tuple[float, float]]:
    """Where rows lie unusually far apart in time, as they do after a restart, and how many seconds."""
    timed = [(row.get(STEP, row.get("_step", 0)), row["_timestamp"]) for row in history if "_timestamp" in row]
    apart = [(later[0], later[1] - sooner[1]) for sooner, later in itertools.pairwise(timed)]
    if len(apart) < 3:
        return
    unusual = max(SHORTEST_PAUSE, UNUSUAL * median(seconds for _, seconds in apart))
    yield from ((step, seconds) for step, seconds in apart if seconds >= unusual)


def _chart(name: str, runs: Sequence[RunRecord], ends: tuple[float, float]) -> Markup:
    lines = (
        Line(
            name=run.display_name,
            slot=slot % SLOTS,
            points=tuple(points(run.history, name)),
            pauses=tuple(pauses(run.history)) if slot == 0 else (),
        )
        for slot, run in enumerate(runs)
    )
    return chart(name, "step", [each for each in lines if each.points], ends)


def _sample(slot: int) -> Markup:
    line = element("line", class_=f"line slot-{slot % SLOTS}", x1=0, x2=28, y1=5, y2=5)
    return element("svg", line, viewBox="0 0 28 10", class_="sample", aria_hidden="true")


def _is_drawn(name: str, value: object) -> bool:
    if name.startswith(("_", "system/")) or name == STEP or isinstance(value, bool):
        return False
    return isinstance(value, int | float) and math.isfinite(value)
