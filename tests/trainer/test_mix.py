"""Several data sets as one: how often each is drawn from, under which names, and what does not go together."""

from pathlib import Path
from typing import Any

import pytest
from finetune_trainer import data
from finetune_trainer.errors import ConfigurationError

from tests.trainer import tiny

pytestmark = pytest.mark.training

FIRST = [{"text": f"a{number}", "label": "yes"} for number in range(40)]
SECOND = [{"review": f"b{number}", "text": number, "verdict": "no"} for number in range(8)]
NAMES = {"text": ["review"], "label": "verdict"}


def read(tmp_path: Path, *, first: Any = FIRST, second: Any = SECOND, **fields: Any) -> Any:
    """The training rows of a mix of two files."""
    mix = {"uri": tiny.jsonl_file(tmp_path / "second.jsonl", second), "columns": NAMES, **fields.pop("mix", {})}
    wanted = {"columns": {"text": ["text"], "label": "label"}, "mix": [mix], **fields}
    config = tiny.config(dataset=tiny.jsonl_file(tmp_path / "first.jsonl", first), data=wanted)
    return data.raw(config, tmp_path / "cache", evaluates=False).train


@pytest.mark.parametrize("streaming", [False, True])
def test_each_data_set_is_drawn_from_by_its_weight_until_all_were_used_up(tmp_path: Path, streaming: bool) -> None:
    drawn = [*read(tmp_path, weight=3, streaming=streaming)]

    texts = [row["text"] for row in drawn]
    share = sum(text.startswith("b") for text in texts) / len(texts)
    assert ({row["text"] for row in FIRST} <= {*texts}, 0.1 < share < 0.45) == (True, True)
    assert [row["label"] == "no" for row in drawn] == [text.startswith("b") for text in texts]


def test_the_order_follows_from_the_seed_alone(tmp_path: Path) -> None:
    first, again = (read(tmp_path)["text"][:] for _ in range(2))

    assert first == again


def test_a_limit_counts_the_examples_of_the_whole_mix(tmp_path: Path) -> None:
    assert len(read(tmp_path, maxSamples={"train": 7})) == 7


def test_labels_go_by_their_names(tmp_path: Path) -> None:
    import datasets

    for name, names in (("first", ["no", "yes"]), ("second", ["yes", "no"])):
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
        rows = datasets.Dataset.from_dict({"text": [name] * 4, "label": [names.index("yes")] * 4}, features=features)
        rows.to_parquet(tmp_path / f"{name}.parquet")
    fields = {
        "columns": {"text": ["text"], "label": "label"},
        "mix": [{"uri": f"file://{tmp_path / 'second.parquet'}"}],
    }
    config = tiny.config(dataset=f"file://{tmp_path / 'first.parquet'}", data=fields)

    table = data.raw(config, tmp_path / "cache", evaluates=False).train

    assert (set(table["text"]), set(table["label"])) == ({"first", "second"}, {1})


@pytest.mark.parametrize(
    ("second", "mix", "reason"),
    [
        (SECOND, {"columns": {"text": ["opinion"], "label": "verdict"}}, "ColumnNotFound"),
        ([{"review": ["x"], "verdict": "no"}], {}, "MixDoesNotFit"),
        (SECOND, {"split": "test"}, "SplitNotFound"),
    ],
)
def test_what_cannot_be_mixed_is_said(second: Any, mix: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, second=second, mix=mix)

    assert (raised.value.reason, "second.jsonl" in raised.value.message) == (reason, True)
