"""Which checkpoint an attempt starts from: the rules of the contract, over a volume."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.errors import ConfigurationError, RetryLater
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.recovery.manifest import Manifest
from finetune_trainer.recovery.restoring import Belonging, Restored, Search, refuse_changes
from finetune_trainer.recovery.stores import Store, Stored, StoreUnreachable, VolumeStore

from tests.trainer.made import draft, published

NOW = Belonging(job_uid="uid", world_size=1, mathematics="mathematics", dataset="dataset", allow_change=False)


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    """A volume."""
    return VolumeStore(tmp_path / "volume", "run")


def search(store: Store, *, keep: int = 2, **env: str) -> Search:
    """A search by an attempt with these variables."""
    return Search(store, surroundings({"FINETUNE_ATTEMPT": "2", **env}), keep)


def step_of(one: Search, scratch: Path) -> int | None:
    """The step at which the attempt starts."""
    restored = one.newest(scratch / "restored", "uid")
    return restored.manifest.step if restored is not None else None


def damage(folder: Path) -> None:
    """Break a checkpoint."""
    (folder / "model").write_text("other weights")


def test_the_newest_whole_one_is_taken_and_the_bad_one_named(
    store: VolumeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published(store, tmp_path, 5)
    damage(published(store, tmp_path, 10)[1])
    one = search(store)
    with caplog.at_level("INFO"):
        step = step_of(one, tmp_path)

    assert (step, ["step 10" in said for said in one.passed_over]) == (5, [True])
    assert [message.split(" file://")[0] for message in caplog.messages] == [
        "A checkpoint is passed over:",
        "Training goes on from step 5:",
    ]


def test_a_later_attempt_of_a_job_without_checkpoints_starts_afresh(store: VolumeStore, tmp_path: Path) -> None:
    assert step_of(search(store), tmp_path) is None


def test_nothing_below_the_named_step_is_taken_unseen(store: VolumeStore, tmp_path: Path) -> None:
    published(store, tmp_path, 5)

    with pytest.raises(RetryLater, match="step 10") as raised:
        step_of(search(store, FINETUNE_MIN_STEP="10"), tmp_path)
    assert raised.value.reason == "CheckpointNotFound"


def test_a_newer_bad_one_does_not_excuse_an_absent_named_one(store: VolumeStore, tmp_path: Path) -> None:
    published(store, tmp_path, 5)
    damage(published(store, tmp_path, 15)[1])

    with pytest.raises(RetryLater, match="step 10"):
        step_of(search(store, FINETUNE_MIN_STEP="10"), tmp_path)


def test_past_the_named_one_seen_and_found_bad_an_older_one_is_taken(store: VolumeStore, tmp_path: Path) -> None:
    published(store, tmp_path, 5)
    damage(published(store, tmp_path, 10)[1])

    assert step_of(search(store, FINETUNE_MIN_STEP="10"), tmp_path) == 5


def test_as_many_newer_bad_ones_as_are_kept_stand_for_the_pruned_one(store: VolumeStore, tmp_path: Path) -> None:
    for step in (15, 20):
        damage(published(store, tmp_path, step)[1])
    one = search(store, keep=2, FINETUNE_MIN_STEP="10")

    assert (step_of(one, tmp_path), len(one.passed_over)) == (None, 2)


def test_the_named_one_must_have_its_digest(store: VolumeStore, tmp_path: Path) -> None:
    published(store, tmp_path, 5)
    published(store, tmp_path, 10)
    one = search(store, FINETUNE_MIN_STEP="10", FINETUNE_MIN_DIGEST="another")

    assert (step_of(one, tmp_path), "digest" in one.passed_over[0]) == (5, True)


def test_another_jobs_checkpoint_is_passed_over_and_excuses_nothing(store: VolumeStore, tmp_path: Path) -> None:
    published(store, tmp_path, 10, job_uid="somebody else")

    with pytest.raises(RetryLater):
        step_of(search(store, keep=1, FINETUNE_MIN_STEP="10"), tmp_path)


def test_a_newer_one_than_the_status_names_is_taken(store: VolumeStore, tmp_path: Path) -> None:
    digest, _ = published(store, tmp_path, 10)
    published(store, tmp_path, 15)

    assert step_of(search(store, FINETUNE_MIN_STEP="10", FINETUNE_MIN_DIGEST=digest), tmp_path) == 15


def test_a_checkpoint_under_another_steps_name_is_passed_over(store: VolumeStore, tmp_path: Path) -> None:
    _, folder = published(store, tmp_path, 10)
    shutil.move(folder, folder.with_name("step-00000099-x"))

    assert step_of(search(store), tmp_path) is None


class Away(VolumeStore):
    """A place that cannot be asked."""

    def newest_first(self) -> tuple[Stored, ...]:
        raise StoreUnreachable("no route")


@pytest.mark.parametrize("env", [{"FINETUNE_ATTEMPT": "2"}, {"FINETUNE_ATTEMPT": "1", "FINETUNE_MIN_STEP": "5"}])
def test_a_job_that_may_have_a_checkpoint_waits_for_its_store(tmp_path: Path, env: dict[str, Any]) -> None:
    with pytest.raises(RetryLater, match="no route"):
        step_of(search(Away(tmp_path, "run"), **env), tmp_path)


def test_a_first_attempt_starts_although_the_store_is_away(tmp_path: Path) -> None:
    assert step_of(search(Away(tmp_path, "run"), FINETUNE_ATTEMPT="1"), tmp_path) is None


def restored(manifest: Manifest) -> Restored:
    """A checkpoint that was restored."""
    return Restored(folder=Path(), manifest=manifest, digest="", where="")


CHANGES: dict[str, dict[str, Any]] = {
    "configuration": {"mathematics": "other"},
    "content": {"dataset": "other"},
    "under the adapter changed": {"base": "other"},
    "processes changed from 1 to 2": {"world_size": 2},
}


@pytest.mark.parametrize(("said", "change"), CHANGES.items(), ids=CHANGES.keys())
def test_a_change_is_refused_and_named(said: str, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=said):
        refuse_changes(restored(draft(5)), replace(NOW, **change))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_accepted_where_the_job_allows_it(change: dict[str, Any]) -> None:
    refuse_changes(restored(draft(5)), replace(NOW, **change, allow_change=True))
