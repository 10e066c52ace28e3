"""What all pages have: head, way back, foot, and how small things are written."""

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path

from finetune_sandbox.wandb_server.pages.markup import Markup, element, text

HERE = Path(__file__).parent
STYLE = (HERE / "page.css").read_text(encoding="utf-8")
SCRIPT = (HERE / "page.js").read_text(encoding="utf-8")

Crumb = tuple[str, str | None]
"""A name, and where it leads; None for the page itself."""


def document(title: str, crumbs: Iterable[Crumb], *content: object, is_live: bool = False) -> str:
    """A whole page; a live one renews itself while it is looked at."""
    way = [element("li", element("a", name, href=link) if link else name) for name, link in crumbs]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{title} · W&B stand-in"),
        element("style", Markup(STYLE)),
    )
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element("header", element("nav", element("ol", way), aria_label="Where you are")),
        element("main", content, id="content", data_live=is_live),
        element("footer", "The sandbox's W&B server: a stand-in for tests and local runs, not Weights & Biases."),
        element("script", Markup(SCRIPT)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def section(title: str, *content: object, anchor: str) -> Markup:
    """A part of a page under its heading; nothing when it has no content."""
    inner = text(*content)
    return element("section", element("h2", title, id=anchor), inner, aria_labelledby=anchor) if inner else inner


def table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, is_wide: bool = True) -> Markup:
    """A table that scrolls by itself when it is wider than the page; the first cell of a row names it."""
    head = element("tr", (element("th", each, scope="col") for each in columns))
    lines = [element("tr", _cells(row)) for row in rows]
    made = element("table", element("caption", caption), element("thead", head), element("tbody", lines))
    return element("div", made, class_="wide" if is_wide else "narrow", tabindex="0", role="region", aria_label=caption)


def _cells(row: Iterable[object]) -> Iterable[Markup]:
    for place, each in enumerate(row):
        yield element("td", shown(each)) if place else element("th", shown(each), scope="row")


def shown(value: object) -> object:
    """A value as people read it."""
    match value:
        case Markup() | str() | None:
            return value
        case bool() | dict() | list():
            return json.dumps(value, sort_keys=True)
        case int() | float():
            return figure(value)
        case _:
            return value


def figure(value: float) -> str:
    """A number in at most five digits."""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e9):
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.5g}"


def moment(seconds: float) -> Markup:
    """A point in time, in UTC."""
    there = time.gmtime(seconds)
    return element(
        "time", time.strftime("%Y-%m-%d %H:%M:%S", there), datetime=time.strftime("%Y-%m-%dT%H:%M:%SZ", there)
    )


def size(count: int) -> str:
    """A number of bytes."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}"


def state(word: str) -> Markup:
    """A run's state: its word, and a dot in its color."""
    return element("span", word, class_=f"state {word}")


def facts(found: Iterable[tuple[str, object]]) -> Markup:
    """Names and values, without those that have none."""
    pairs = ((name, value) for name, value in found if value not in (None, "", ()))
    return element("dl", (element("div", element("dt", name), element("dd", shown(value))) for name, value in pairs))
