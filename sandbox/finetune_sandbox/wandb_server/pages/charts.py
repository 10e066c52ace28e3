"""Curves as SVG: one picture for each quantity, a line for each run."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from finetune_sandbox.wandb_server.pages.frame import figure
from finetune_sandbox.wandb_server.pages.markup import Markup, element

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 408, 10, 192
MOST_POINTS = 600
FEW_POINTS = 16
"""So many points are drawn as dots, too: an evaluation now and then is not a curve."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one run says of a quantity."""

    name: str
    slot: int
    """Which color and dash it has."""
    points: tuple[Point, ...]
    pauses: tuple[Point, ...] = ()
    """Where nothing was logged for a while, and for how many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From values to places in the picture."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value, rounded to what the eye can see."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)


def chart(title: str, across: str, lines: Sequence[Line], ends: Point) -> Markup:
    """One quantity over another, between the same ends in all charts of a page, with a line for each run."""
    lines = [replace(each, points=thinned(each.points)) for each in lines]
    ys = [y for each in lines for _, y in each.points]
    wide = _scale(*ends, LEFT, RIGHT, margin=0)
    tall = _scale(min(ys), max(ys), BOTTOM, TOP, margin=0.06)
    picture = element(
        "svg",
        _rulers(wide, tall, across),
        (_pause(wide, at, seconds) for each in lines for at, seconds in each.pauses),
        element("line", class_="cursor", x1=LEFT, x2=LEFT, y1=TOP, y2=BOTTOM, visibility="hidden"),
        (_line(each, wide, tall) for each in lines),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        tabindex="0",
        aria_label=_told(title, across, lines),
        data_lines=json.dumps([[each.name, each.slot, each.points] for each in lines]),
        data_scale=json.dumps([wide.low, wide.high, LEFT, RIGHT]),
    )
    return element(
        "figure", element("figcaption", title), picture, element("output", Markup("&nbsp;")), id=f"chart-{title}"
    )


def thinned(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """At most so many points as can be seen, evenly taken; the last one is among them."""
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return tuple(points[round(place * last / (MOST_POINTS - 1))] for place in range(MOST_POINTS))


def ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """Round values between two, at most so many and at least two wherever there is room."""
    raw = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * each for each in (1, 2, 5, 10) if unit * each >= raw)
    first = math.ceil(low / step - 1e-9)
    return tuple(
        round(number * step, 12) for number in range(first, first + most + 2) if number * step <= high + 1e-9 * step
    )


def marked(value: float, step: float) -> str:
    """A round value with as many digits as tell it from its neighbors."""
    if abs(step) < 1e-4 > abs(value):
        return f"{value:.3g}"
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}" if step < 1 else figure(value)


def _scale(low: float, high: float, start: float, end: float, *, margin: float) -> Scale:
    """Ends a bit beyond the values; a single value stands in the middle."""
    beyond = (high - low) * margin or (0.0 if high > low else abs(low) * 0.1 or 1.0)
    return Scale(low=low - beyond, high=high + beyond, start=start, end=end)


def _rulers(wide: Scale, tall: Scale, across: str) -> Iterable[Markup]:
    rungs = ticks(tall.low, tall.high)
    for value in rungs:
        yield element("line", class_="grid", x1=LEFT, x2=RIGHT, y1=tall(value), y2=tall(value))
        yield element("text", marked(value, rungs[1] - rungs[0]), x=LEFT - 6, y=tall(value) + 3.5, text_anchor="end")
    for value in ticks(wide.low, wide.high):
        yield element("text", figure(value), x=wide(value), y=BOTTOM + 14, text_anchor="middle")
    yield element("line", class_="axis", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM)
    yield element("text", across, class_="across", x=RIGHT, y=HEIGHT - 3, text_anchor="end")


def _line(line: Line, wide: Scale, tall: Scale) -> Iterable[Markup]:
    places = [(wide(x), tall(y)) for x, y in line.points]
    yield element("polyline", class_=f"line slot-{line.slot}", points=" ".join(f"{x},{y}" for x, y in places))
    if len(places) <= FEW_POINTS:
        for x, y in places:
            yield element("circle", class_=f"dot slot-{line.slot}", cx=x, cy=y, r=2.8)


def _pause(wide: Scale, at: float, seconds: float) -> Markup:
    words = element("title", f"Nothing was logged for {seconds:.0f} seconds before step {figure(at)}.")
    return element("line", words, class_="pause", x1=wide(at), x2=wide(at), y1=TOP, y2=BOTTOM)


def _told(title: str, across: str, lines: Sequence[Line]) -> str:
    """The picture in words, for those who do not see it."""
    ways = (
        f"{each.name}: from {figure(each.points[0][1])} at {figure(each.points[0][0])}"
        f" to {figure(each.points[-1][1])} at {figure(each.points[-1][0])}"
        for each in lines
    )
    return f"{title} over {across}. {'; '.join(ways)}."
