"""The volume as a durable place: whole or not at all."""

import errno
from pathlib import Path

import pytest
from finetune_trainer.recovery.manifest import BadCheckpoint, verified
from finetune_trainer.recovery.stores import Stored, StoreUnreachable, VolumeStore

from tests.trainer.made import draft, published, sealed


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    """A volume."""
    return VolumeStore(tmp_path / "volume", "run")


def test_what_was_published_comes_back_whole(store: VolumeStore, tmp_path: Path) -> None:
    digest, _ = published(store, tmp_path, 5)
    store.fetch(store.newest_first()[0], tmp_path / "back")

    assert verified(tmp_path / "back")[1] == digest


def test_the_newest_come_first_and_only_those_are_kept(store: VolumeStore, tmp_path: Path) -> None:
    for step in (5, 10, 100, 20):
        published(store, tmp_path, step)
    store.prune(2)

    assert [stored.step for stored in store.newest_first()] == [100, 20]


def test_what_a_killed_writer_left_is_no_checkpoint_and_goes(store: VolumeStore, tmp_path: Path) -> None:
    _, folder = published(store, tmp_path, 5)
    (folder.parent / ".incoming-abc").mkdir()
    seen = [stored.step for stored in store.newest_first()]
    store.prune(1)

    assert (seen, [path.name for path in folder.parent.iterdir()]) == ([5], [folder.name])


def test_the_same_checkpoint_published_twice_is_there_once(store: VolumeStore, tmp_path: Path) -> None:
    manifest, digest = sealed(tmp_path / "one", draft(5))
    for _ in range(2):
        store.publish(tmp_path / "one", manifest, digest, patience=1)

    assert len(store.newest_first()) == 1


def test_a_volume_that_cannot_be_written_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "volume").write_text("a file in the folder's place")
    manifest, digest = sealed(tmp_path / "one", draft(5))

    with pytest.raises(StoreUnreachable):
        VolumeStore(tmp_path / "volume", "run").publish(tmp_path / "one", manifest, digest, patience=1)


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="the system's word"),
        pytest.param(OSError(errno.EDQUOT, "Disk quota exceeded"), id="a quota"),
        pytest.param(RuntimeError("I/O error: No space left on device (os error 28)"), id="safetensors' word"),
    ],
)
def test_a_volume_that_is_full_is_told_with_the_next_step(tmp_path: Path, problem: Exception) -> None:
    said = VolumeStore(tmp_path, "run")._in_words(problem, draft(5))

    assert said.startswith("the volume of checkpoint.volume is full: a checkpoint has 0 MiB")
    assert said.endswith("or lower checkpoint.keep")


def test_a_checkpoint_that_went_away_is_bad(store: VolumeStore, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint):
        store.fetch(Stored(step=5, where=f"file://{tmp_path / 'gone'}", written=0), tmp_path / "back")


def test_finished_work_is_remembered(store: VolumeStore) -> None:
    before = store.has_finished()
    store.mark_finished("uid")

    assert (before, store.has_finished()) == (False, True)
