"""What is said of two runs side by side."""

from collections.abc import Mapping

import pytest
from finetune_sandbox.comparison import Comparison, Result

ROW = (("train/global_step", 1), ("train/loss", 0.5))
MODEL = {"model.safetensors": "a"}


def left_by(run_id: str, weights: Mapping[str, str]) -> Result:
    """A run of one row."""
    return Result(run_id=run_id, rows=(ROW,), weights=weights)


def difference(left: Mapping[str, str], right: Mapping[str, str]) -> str | None:
    """What tells two runs of the same row apart."""
    return Comparison(left=left_by("one", left), right=left_by("two", right)).first_difference


def test_runs_of_the_same_rows_and_weights_do_not_differ() -> None:
    assert difference(MODEL, dict(MODEL)) is None


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        pytest.param({}, {}, "neither run has published a model", id="no weights"),
        pytest.param({}, MODEL, "Only the run two has published a model.", id="weights of one"),
        pytest.param(MODEL, {"model.safetensors": "b"}, "differ, in model.safetensors.", id="other weights"),
    ],
)
def test_the_sentence_names_what_is_known_of_the_weights(
    left: Mapping[str, str], right: Mapping[str, str], said: str
) -> None:
    assert said in str(difference(left, right))
