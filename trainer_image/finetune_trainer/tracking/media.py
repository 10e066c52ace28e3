"""Tables, matrices and histograms of a run, as plain values that a checkpoint can hold, and as what W&B shows.

A row of the history is sent again after a restart; what it shows must come out of JSON as it went in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

KIND = "_finetune"
MOST_CELL = 2000
"""Characters of a table's cell; a longer text is cut."""

Media = dict[str, Any]


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Media:
    """A table of texts and numbers."""
    return {KIND: "table", "columns": [*columns], "rows": [[_cell(value) for value in row] for row in rows]}


def _cell(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= MOST_CELL else value[: MOST_CELL - 1] + "…"


def confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Media:
    """How often each class was taken for each; a row for each class as it is, a column as it was predicted."""
    return {KIND: "confusion", "names": [*names], "counts": [[*row] for row in counts]}


def histogram(edges: Sequence[float], counts: Sequence[int]) -> Media:
    """How often a value fell between two edges."""
    return {KIND: "histogram", "edges": [*edges], "counts": [*counts]}


def is_media(value: object) -> bool:
    """Whether a value of a row is one of these."""
    return isinstance(value, Mapping) and KIND in value


def displayed(name: str, value: Any) -> Any:
    """What W&B is given for a value of a row."""
    if not is_media(value):
        return value
    import wandb

    match value[KIND]:
        case "table":
            return wandb.Table(columns=value["columns"], data=value["rows"])
        case "histogram":
            return wandb.Histogram(np_histogram=(value["counts"], value["edges"]))
        case _:
            return _matrix(name, value)


def _matrix(name: str, value: Media) -> Any:
    import wandb

    names = value["names"]
    cells = [
        [names[actual], names[predicted], count]
        for actual, row in enumerate(value["counts"])
        for predicted, count in enumerate(row)
    ]
    return wandb.plot_table(
        vega_spec_name="wandb/confusion_matrix/v1",
        data_table=wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=cells),
        fields={"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"},
        string_fields={"title": name},
    )
