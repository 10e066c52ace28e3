"""Brings checkpoints to their durable place while training goes on: one at a time, the newest wins."""

import itertools
import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.contract.outcome import Checkpoint
from finetune_trainer.errors import TrainerError
from finetune_trainer.files import size_of
from finetune_trainer.pod.grace import FINAL_PATIENCE, patience
from finetune_trainer.recovery.manifest import Manifest, entries, seal
from finetune_trainer.recovery.stores import StillUploading, Store, StoreUnreachable
from finetune_trainer.redaction import redacted

log = logging.getLogger(__name__)

PATIENCE = 600.0
"""How long the upload of a small checkpoint may take before it is said to be slow."""
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts to publish the same checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A checkpoint on its way; its files are hashed on the way too, for training need not wait for that."""

    folder: Path
    draft: Manifest
    size: int
    """In bytes."""


class Uploader:
    """A thread that publishes; it never stops training, and says when it cannot do its work."""

    def __init__(self, store: Store, keep: int, outbox: Path, published: Callable[[Checkpoint], None]) -> None:
        self._store = store
        self._keep = keep
        self._outbox = outbox
        self._published = published
        self._change = threading.Condition()
        self._waiting: Parcel | None = None
        self._underway: Parcel | None = None
        self._closed = False
        self.problem: str | None = None
        self.on_problem: Callable[[str | None], None] = lambda _: None
        self.seconds: float | None = None
        self.newest: Checkpoint | None = None
        self._thread = threading.Thread(target=self._work, name="uploader", daemon=True)
        self._thread.start()

    def send(self, folder: Path, draft: Manifest) -> None:
        """Take a checkpoint over and publish it soon; one that still waits gives way to it."""
        held = self._outbox / f"{draft.step:08d}-{time.time_ns()}"
        self._outbox.mkdir(parents=True, exist_ok=True)
        folder.rename(held)
        with self._change:
            if self._waiting is not None:
                shutil.rmtree(self._waiting.folder, ignore_errors=True)
            self._waiting = Parcel(folder=held, draft=draft, size=size_of(held))
            self._change.notify_all()

    @property
    def left_bytes(self) -> int:
        """The size of what is not published yet."""
        with self._change:
            return sum(parcel.size for parcel in (self._underway, self._waiting) if parcel is not None)

    @property
    def final_patience(self) -> float:
        """The seconds that the end of finished work waits for what is not published yet."""
        return patience(FINAL_PATIENCE, self.left_bytes)

    def drain(self, seconds: float) -> bool:
        """Wait until everything is published, at most so long; tell whether it is."""
        with self._change:
            return self._change.wait_for(lambda: self._waiting is None and self._underway is None, seconds)

    def close(self) -> None:
        """Take no more; what is under way may be lost."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _work(self) -> None:
        while (parcel := self._next()) is not None:
            if self._deliver(parcel):
                shutil.rmtree(parcel.folder, ignore_errors=True)
            with self._change:
                self._underway = None
                self._change.notify_all()

    def _next(self) -> Parcel | None:
        with self._change:
            self._change.wait_for(lambda: self._waiting is not None or self._closed)
            self._underway, self._waiting = self._waiting, None
            return None if self._closed else self._underway

    def _deliver(self, parcel: Parcel) -> bool:
        """Try until it is published or a newer one waits; tell whether its files are free to go."""
        whole: tuple[Manifest, str] | None = None
        longest = 0.0
        pauses = itertools.chain(PAUSES, itertools.repeat(PAUSES[-1]))
        while True:
            started = time.monotonic()
            try:
                whole = whole or sealed(parcel)
                checkpoint = self._uploaded(parcel.folder, *whole)
            except StillUploading:
                return False
            except (StoreUnreachable, TrainerError, OSError) as problem:
                self._say(
                    f"Checkpoints do not reach their durable place: {problem}. Training goes on; it is tried again."
                )
            else:
                # What a failed try has sent is not sent again, so the last try alone may be too short.
                self.seconds = max(longest, time.monotonic() - started)
                self._done(checkpoint)
                return True
            longest = max(longest, time.monotonic() - started)
            if self._is_overtaken(next(pauses)):
                return True

    def _uploaded(self, folder: Path, manifest: Manifest, digest: str) -> Checkpoint:
        """Publish and wait as long as it is under way, whatever waits behind it; raises StillUploading when closed."""
        while True:
            try:
                return self._store.publish(folder, manifest, digest, patience(PATIENCE, manifest.size_bytes))
            except StillUploading as slow:
                if self._closed:
                    raise
                self._say(
                    f"Checkpoints reach their durable place slowly: {slow}. Training goes on; newer checkpoints wait "
                    "until it has arrived."
                )

    def _is_overtaken(self, pause: float) -> bool:
        """Wait before the next attempt; tell whether there is no need of one any more."""
        with self._change:
            return self._change.wait_for(lambda: self._closed or self._waiting is not None, pause)

    def _done(self, checkpoint: Checkpoint) -> None:
        self.newest = checkpoint
        log.info("The checkpoint of step %d is published: %s", checkpoint.step, checkpoint.artifact)
        self._say(None)
        self._published(checkpoint)
        try:
            self._store.prune(self._keep)
        except (StoreUnreachable, TrainerError, OSError) as problem:
            log.warning("Older checkpoints could not be removed: %s", problem)

    def _say(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem is not None:
                log.warning("%s", redacted(problem))
            self.on_problem(problem)


def sealed(parcel: Parcel) -> tuple[Manifest, str]:
    """The manifest of a parcel, written into it, and its digest."""
    manifest = parcel.draft.model_copy(update={"files": entries(parcel.folder)})
    return manifest, seal(parcel.folder, manifest)
