"""What a run has logged besides numbers: tables, confusion matrices, images, histograms."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finetune_sandbox.wandb_server.pages.curves import STEP
from finetune_sandbox.wandb_server.pages.frame import figure, table
from finetune_sandbox.wandb_server.pages.markup import Markup, element, text
from finetune_sandbox.wandb_server.records import RunRecord

MOST_ROWS = 100
MOST_VERSIONS = 10
CONFUSION = ["Actual", "Predicted", "nPredictions"]
"""The columns of what `wandb.plot.confusion_matrix` logs."""

Logged = tuple[float, Mapping[str, Any]]
"""The step, and what was logged there."""


def logged(run: RunRecord, kind: str) -> dict[str, list[Logged]]:
    """Every value of a W&B type by its name, in the order of the history."""
    found: dict[str, list[Logged]] = {}
    for row in run.history:
        for name, value in row.items():
            if isinstance(value, dict) and value.get("_type") == kind:
                found.setdefault(name, []).append((row.get(STEP, row.get("_step", 0)), value))
    return found


def tables(run: RunRecord) -> Iterable[Markup]:
    """Each table by its name, the newest open, those before it folded."""
    for name, versions in logged(run, "table-file").items():
        newest, *older = versions[::-1][:MOST_VERSIONS]
        yield element("h3", name)
        yield element("div", _table(run, name, newest))
        for each in older:
            fold = element("summary", f"at step {figure(each[0])}")
            yield element("details", fold, _table(run, name, each), id=f"table-{name}-{each[0]}")


def _table(run: RunRecord, name: str, version: Logged) -> Markup:
    step, told = version
    path = run.files.get(told.get("path", ""))
    if path is None:
        return element("p", f"The table of step {figure(step)} has not arrived.")
    content = json.loads(path.read_bytes())
    if content["columns"] == CONFUSION:
        return _confusion(f"{name}, at step {figure(step)}", content["data"])
    rows = content["data"][:MOST_ROWS]
    left_out = len(content["data"]) - len(rows)
    caption = f"{name}, at step {figure(step)}" + (f" (without the last {left_out} rows)" if left_out else "")
    cells = ((_cell(run, each) for each in row) for row in rows)
    return table(caption, map(str, content["columns"]), cells, is_wide=False)


def _confusion(caption: str, data: Iterable[Sequence[Any]]) -> Markup:
    """A matrix whose cells are the darker the more they hold."""
    counts = {(str(actual), str(said)): count for actual, said, count in data}
    names = list(dict.fromkeys(name for pair in counts for name in pair))
    most = max(counts.values(), default=0) or 1

    def cell(actual: str, said: str) -> Markup:
        count = counts.get((actual, said), 0)
        return element("span", figure(count), class_="heat", style=f"--heat: {count / most:.2f}")

    rows = ((actual, *(cell(actual, said) for said in names)) for actual in names)
    return table(f"{caption}: actual below, predicted across", ["actual \\ predicted", *names], rows, is_wide=False)


def _cell(run: RunRecord, value: Any) -> Any:
    if isinstance(value, dict) and value.get("_type") == "image-file":
        return _image(run, value)
    return value


def _image(run: RunRecord, value: Mapping[str, Any]) -> Markup:
    path = run.files.get(value.get("path", ""))
    if path is None:
        return element("span", "An image that has not arrived.")
    return element("img", src=f"/storage/{path.name}", alt=value.get("caption") or value["path"], loading="lazy")


def images(run: RunRecord) -> Iterable[Markup]:
    """The newest image of each name."""
    for name, versions in logged(run, "image-file").items():
        step, value = versions[-1]
        yield element("figure", _image(run, value), element("figcaption", f"{name}, at step {figure(step)}"))


def histograms(run: RunRecord) -> Markup | None:
    """How gradients and parameters were spread, over the steps; folded, for there are many."""
    found = [
        (name, versions) for name, versions in sorted(logged(run, "histogram").items()) if "bins" in versions[-1][1]
    ]
    if not found:
        return None
    drawn = element("div", (_histogram(name, *versions[-1]) for name, versions in found), class_="charts small")
    return element("details", element("summary", f"{len(found)} histograms"), drawn, id="all-histograms")


def _histogram(name: str, step: float, value: Mapping[str, Any]) -> Markup:
    counts: list[float] = value["values"]
    most, width = max(counts, default=0) or 1, 200 / max(len(counts), 1)
    bars = (
        element(
            "rect",
            x=round(place * width, 2),
            y=round(60 - 56 * count / most, 2),
            width=round(width * 0.9, 2),
            height=round(56 * count / most, 2),
        )
        for place, count in enumerate(counts)
    )
    low, high = figure(value["bins"][0]), figure(value["bins"][-1])
    told = f"{name} at step {figure(step)}, from {low} to {high}"
    ends = text(element("text", low, x=0, y=74), element("text", high, x=200, y=74, text_anchor="end"))
    picture = element("svg", element("g", bars, class_="bars"), ends, viewBox="0 0 200 78", role="img", aria_label=told)
    return element("figure", element("figcaption", f"{name}, at step {figure(step)}"), picture)
