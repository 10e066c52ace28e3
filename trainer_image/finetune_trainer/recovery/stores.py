"""Durable places for checkpoints: what they must do, and the volume. The W&B artifact is in `artifact_store`."""

import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from finetune_trainer.contract.outcome import Checkpoint
from finetune_trainer.files import is_full, sync_to_disk
from finetune_trainer.recovery.manifest import BadCheckpoint, Manifest, hashed


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A checkpoint that a durable place has, not yet verified."""

    step: int
    """The step it claims."""
    where: str
    """Its name in the place, for people and for `fetch`."""
    written: float
    """When it was committed, as seconds since the epoch: of two at one step the newer is preferred."""


class StoreUnreachable(Exception):
    """The durable place cannot be asked now; the message says why."""


class StillUploading(StoreUnreachable):
    """The patience is over and the upload goes on: its files must stay, and the next `publish` waits for it again."""


class Store(Protocol):
    """A durable place for the checkpoints of one job."""

    def newest_first(self) -> tuple[Stored, ...]:
        """What the place has, by step; raises StoreUnreachable."""
        ...

    def fetch(self, stored: Stored, into: Path) -> None:
        """Bring a checkpoint into an empty folder; raises StoreUnreachable or BadCheckpoint."""
        ...

    def publish(self, folder: Path, manifest: Manifest, digest: str, patience: float) -> Checkpoint:
        """Put a complete checkpoint into the place and wait until it is committed; StoreUnreachable, StillUploading."""
        ...

    def prune(self, keep: int) -> None:
        """Remove all but the newest."""
        ...

    def has_finished(self) -> bool:
        """Whether the job's work is done; raises StoreUnreachable."""
        ...

    def mark_finished(self, uid: str) -> None:
        """Remember that the job's work is done."""
        ...


class VolumeStore:
    """A mounted folder that outlives the pod: copied beside, brought to disk, renamed."""

    def __init__(self, volume: Path, run_id: str) -> None:
        self._folder = volume / f"checkpoint-{run_id}"

    def newest_first(self) -> tuple[Stored, ...]:
        """The complete folders; what a killed writer left has another name."""
        try:
            found = [*self._folder.glob("step-*")]
        except OSError as problem:
            raise StoreUnreachable(str(problem)) from problem
        stored = (
            Stored(step=int(path.name.split("-")[1]), where=f"file://{path}", written=path.stat().st_mtime)
            for path in found
        )
        return tuple(sorted(stored, key=lambda one: (one.step, one.written), reverse=True))

    def fetch(self, stored: Stored, into: Path) -> None:
        """Copy a checkpoint out of the volume."""
        try:
            shutil.copytree(stored.where.removeprefix("file://"), into, dirs_exist_ok=True)
        except FileNotFoundError as gone:
            raise BadCheckpoint(f"{gone.filename} went away while it was read") from gone
        except OSError as problem:
            raise StoreUnreachable(str(problem)) from problem

    def publish(self, folder: Path, manifest: Manifest, digest: str, patience: float) -> Checkpoint:
        """Copy a checkpoint into the volume, whole or not at all."""
        del patience  # A file system that hangs cannot be interrupted.
        target = self._folder / f"step-{manifest.step:08d}-{digest[:12]}"
        fresh = self._folder / f".incoming-{digest[:12]}-{time.time_ns()}"
        self._remove_incoming()  # What a failed attempt has left takes space that this one needs.
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder, fresh)
            check_copies(fresh, manifest)
            for path in (*fresh.rglob("*"), fresh):
                sync_to_disk(path)
            if target.exists():
                shutil.rmtree(fresh)
            else:
                fresh.rename(target)
            sync_to_disk(self._folder)
        except (OSError, shutil.Error) as problem:
            shutil.rmtree(fresh, ignore_errors=True)
            raise StoreUnreachable(self._in_words(problem, manifest)) from problem
        return Checkpoint(
            step=manifest.step,
            artifact=f"file://{target}",
            digest=digest,
            size_bytes=manifest.size_bytes,
            committed_at=datetime.now(UTC),
            kind=manifest.kind,
        )

    def prune(self, keep: int) -> None:
        """Remove older checkpoints, and what killed writers left."""
        for stored in self.newest_first()[keep:]:
            shutil.rmtree(stored.where.removeprefix("file://"), ignore_errors=True)
        self._remove_incoming()

    def _remove_incoming(self) -> None:
        for left in self._folder.glob(".incoming-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _in_words(self, problem: Exception, manifest: Manifest) -> str:
        if not is_full(problem):
            return str(problem)
        free = shutil.disk_usage(self._folder.parent).free
        return (
            f"the volume of checkpoint.volume is full: a checkpoint has {manifest.size_bytes >> 20} MiB, {free >> 20} "
            "MiB are free. Enlarge its claim (one checkpoint more than checkpoint.keep must fit), or lower "
            "checkpoint.keep"
        )

    def has_finished(self) -> bool:
        """Whether the marker of finished work is there."""
        return (self._folder / "finished").exists()

    def mark_finished(self, uid: str) -> None:
        """Leave the marker that makes a later start end at once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "finished").write_text(uid)
        sync_to_disk(self._folder)


def check_copies(folder: Path, manifest: Manifest) -> None:
    """Refuse a copy that came out differently, before it is given its name."""
    for name, entry in manifest.files.items():
        if hashed(folder / name) != entry:
            raise OSError(f"{name} was copied wrongly")
