"""Uploads behind the training's back: one in flight, the newest wins, trouble is said and never fatal."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from finetune_trainer.contract.outcome import Checkpoint
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.pod.grace import patience
from finetune_trainer.recovery.manifest import Manifest, verified
from finetune_trainer.recovery.stores import StillUploading, Stored, StoreUnreachable
from finetune_trainer.recovery.uploader import Uploader

from tests.trainer.made import draft, written

PATIENCE = 20


@dataclass(slots=True)
class Place:
    """A store that publishes when it is let, and fails as it is told."""

    failures: list[Exception] = field(default_factory=list)
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(100))
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    steps: list[int] = field(default_factory=list)
    pruned_to: int | None = None

    def newest_first(self) -> tuple[Stored, ...]:
        return ()

    def fetch(self, stored: Stored, into: Path) -> None:
        raise NotImplementedError

    def publish(self, folder: Path, manifest: Manifest, digest: str, patience: float) -> Checkpoint:
        self.entered.release()
        assert self.gate.acquire(timeout=patience)
        if self.failures:
            raise self.failures.pop(0)
        verified(folder)
        self.steps.append(manifest.step)
        return Checkpoint(step=manifest.step, digest=digest, size_bytes=0, committed_at=datetime.now(UTC))

    def prune(self, keep: int) -> None:
        self.pruned_to = keep

    def has_finished(self) -> bool:
        return False

    def mark_finished(self, uid: str) -> None:
        raise NotImplementedError


@dataclass(slots=True)
class Desk:
    """An uploader and what it has said."""

    uploader: Uploader
    problems: list[str | None]
    folder: Path

    def send(self, *steps: int) -> None:
        for step in steps:
            self.uploader.send(written(self.folder / f"step-{step}"), draft(step))


def desk(place: Place, folder: Path) -> Iterator[Desk]:
    problems: list[str | None] = []
    uploader = Uploader(place, 2, folder / "outbox", lambda _: None)
    uploader.on_problem = problems.append
    yield Desk(uploader=uploader, problems=problems, folder=folder)
    uploader.close()


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture(name="desk")
def _desk(place: Place, tmp_path: Path) -> Iterator[Desk]:
    yield from desk(place, tmp_path)


def test_a_waiting_checkpoint_gives_way_to_a_newer_one(place: Place, desk: Desk) -> None:
    place.gate = threading.Semaphore(0)
    desk.send(5)
    assert place.entered.acquire(timeout=PATIENCE)
    desk.send(10, 15, 20)
    place.gate.release(100)
    drained = desk.uploader.drain(PATIENCE)

    assert (drained, place.steps) == (True, [5, 20])


def test_after_an_upload_older_ones_are_pruned_and_the_files_gone(place: Place, desk: Desk, tmp_path: Path) -> None:
    desk.send(5)
    desk.uploader.drain(PATIENCE)

    assert (place.pruned_to, [*(tmp_path / "outbox").iterdir()]) == (2, [])


@pytest.mark.parametrize(
    "failure",
    [StoreUnreachable("no route"), ConfigurationError("WandbKeyRefused", "no route"), OSError("no route")],
    ids=["store away", "key refused", "disk"],
)
def test_trouble_is_said_tried_again_and_taken_back(
    place: Place, desk: Desk, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    place.failures.append(failure)
    with caplog.at_level("INFO"):
        desk.send(5)
        drained = desk.uploader.drain(PATIENCE)

    assert (drained, place.steps, ["no route" in (said or "") for said in desk.problems]) == (True, [5], [True, False])
    assert [message.split(":")[0] for message in caplog.messages] == [
        "Checkpoints do not reach their durable place",
        "The checkpoint of step 5 is published",
    ]


def test_a_password_in_an_address_stays_out_of_the_pods_log(
    place: Place, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    place.failures.append(StoreUnreachable("no route to https://me:secret@wandb"))
    desk.send(5)
    desk.uploader.drain(PATIENCE)

    assert ["https://[redacted]@wandb" in message for message in caplog.messages] == [True]


def test_an_upload_that_outlasts_the_patience_keeps_its_files_and_its_turn(place: Place, desk: Desk) -> None:
    place.failures.append(StillUploading("95 MiB"))
    place.gate = threading.Semaphore(0)
    desk.send(5)
    assert place.entered.acquire(timeout=PATIENCE)
    desk.send(10)
    place.gate.release(100)
    drained = desk.uploader.drain(PATIENCE)

    assert (drained, place.steps, ["95 MiB" in (said or "") for said in desk.problems]) == (
        True,
        [5, 10],
        [True, False],
    )


def test_an_upload_still_under_way_at_the_end_keeps_its_files(place: Place, desk: Desk, tmp_path: Path) -> None:
    place.failures.append(StillUploading("95 MiB"))
    place.gate = threading.Semaphore(0)
    desk.send(5)
    assert place.entered.acquire(timeout=PATIENCE)
    desk.uploader.close()
    place.gate.release(100)
    desk.uploader.drain(PATIENCE)

    assert ([path.name for path in (tmp_path / "outbox").glob("*/model")], place.steps) == (["model"], [])


def test_the_end_waits_as_long_as_what_is_left_may_take(place: Place, desk: Desk) -> None:
    place.gate = threading.Semaphore(0)
    desk.send(5)
    assert place.entered.acquire(timeout=PATIENCE)
    desk.send(10)
    left = desk.uploader.left_bytes
    place.gate.release(100)
    desk.uploader.drain(PATIENCE)

    two_files_of_two = 2 * 2 * len("weights")
    assert (left, desk.uploader.left_bytes) == (two_files_of_two, 0)
    assert (patience(900, left), patience(900, 32 << 30)) == (900, 16384)


def test_what_is_not_published_in_time_is_told(place: Place, desk: Desk) -> None:
    place.gate = threading.Semaphore(0)
    desk.send(5)
    drained = desk.uploader.drain(0)
    place.gate.release(100)

    assert (drained, desk.uploader.newest) == (False, None)
