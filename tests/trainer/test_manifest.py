"""What makes a checkpoint whole, and what changes its mathematics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.recovery.manifest import MANIFEST, BadCheckpoint, mathematics, verified

from tests.trainer import tiny
from tests.trainer.made import draft, sealed

DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "bit flip": (lambda folder: (folder / "model").write_text("weights of 8"), "another hash"),
    "cut off": (lambda folder: (folder / "model").write_text("w"), "1 bytes instead of 12"),
    "file gone": (lambda folder: (folder / "deeper" / "optimizer").unlink(), "deeper/optimizer is missing"),
    "manifest gone": (lambda folder: (folder / MANIFEST).unlink(), "no manifest"),
    "manifest cut off": (lambda folder: (folder / MANIFEST).write_text('{"step": 7'), "cannot be read"),
}


def test_a_whole_checkpoint_verifies_with_the_digest_it_was_sealed_with(tmp_path: Path) -> None:
    whole = sealed(tmp_path / "one", draft(7))

    assert verified(tmp_path / "one") == whole


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_seen_and_named(tmp_path: Path, damage: Callable[[Path], Any], said: str) -> None:
    sealed(tmp_path / "one", draft(7))
    damage(tmp_path / "one")

    with pytest.raises(BadCheckpoint, match=said):
        verified(tmp_path / "one")


@pytest.mark.parametrize(
    ("training", "is_the_same"),
    [
        pytest.param({"learning_rate": 1e-3}, False, id="learning rate"),
        pytest.param({"max_steps": 5}, False, id="steps, for the schedule follows them"),
        pytest.param({"logging_first_step": True}, True, id="what is logged"),
    ],
)
def test_only_what_changes_the_numbers_changes_the_mathematics(training: dict[str, Any], *, is_the_same: bool) -> None:
    plain, other = tiny.config(), tiny.config(training=training)

    assert (mathematics(plain) == mathematics(other)) is is_the_same


@pytest.mark.parametrize(
    ("data", "is_the_same"),
    [
        pytest.param({"uri": "file:///elsewhere/train.csv"}, True, id="mounted elsewhere"),
        pytest.param({"uri": "file:///data/other.csv"}, False, id="another file"),
        pytest.param(
            {"uri": "file:///elsewhere/train.csv", "streaming": True}, False, id="a stream, which has no fingerprint"
        ),
    ],
)
def test_where_prepared_data_lie_is_no_mathematics(data: dict[str, Any], *, is_the_same: bool) -> None:
    plain = tiny.config(data={"uri": "file:///data/train.csv", "streaming": data.get("streaming", False)})

    assert (mathematics(plain) == mathematics(tiny.config(data=data))) is is_the_same
