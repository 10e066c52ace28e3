"""The default durable place: versions of the W&B artifact `checkpoint-{run_id}`.

Read through the public API, before the run is opened; written through the run. `latest` is always a complete
checkpoint, for nothing else goes into this artifact.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import wandb

from finetune_trainer.contract.outcome import Checkpoint
from finetune_trainer.contract.tracking import run_ids
from finetune_trainer.files import files_in
from finetune_trainer.recovery.manifest import BadCheckpoint, Manifest
from finetune_trainer.recovery.stores import StillUploading, Stored, StoreUnreachable
from finetune_trainer.tracking.artifacts import add_files
from finetune_trainer.tracking.run import (
    FINISHED_KEY,
    LOST,
    Tracking,
    Wishes,
    brief,
    is_refusal,
    key_refused,
    reachable,
)

TYPE = "checkpoint"
API_TIMEOUT = 30


@dataclass(frozen=True, slots=True)
class Upload:
    """A version on its way.

    The SDK gives a version up with the first wait for it that runs out of time, and uploads it nevertheless. So one
    thread waits without a limit, and others wait for that thread as often as they like.
    """

    run: Any
    digest: str
    answer: futures.Future[Any] = field(default_factory=futures.Future)

    def follow(self, logged: Any) -> None:
        """Wait for a version that was logged, in a thread of its own."""

        def wait() -> None:
            try:
                self.answer.set_result(logged.wait())
            except Exception as problem:  # noqa: BLE001 - Whoever waits for the answer gets it.
                self.answer.set_exception(problem)

        threading.Thread(target=wait, name="upload", daemon=True).start()

    def has_ended(self, seconds: float) -> bool:
        """Wait for the end, at most so long; tell whether it came."""
        return bool(futures.wait([self.answer], seconds).done)


class ArtifactStore:
    """The checkpoints of one run in W&B."""

    def __init__(
        self, settings: Wishes, run_id: str, tracking: Callable[[], Tracking | None], kept_by: str | None = None
    ) -> None:
        self._settings = settings
        self._run_id = run_id
        self._kept_by = kept_by or run_id
        """The run that logs the artifact: the job's own, or one beside it when a program has that to itself."""
        self._tracking = tracking
        self._api_at_first_use: Any = None
        self._underway: Upload | None = None

    @property
    def _name(self) -> str:
        return f"checkpoint-{self._run_id}"

    def newest_first(self) -> tuple[Stored, ...]:
        """The committed versions, by the step in their metadata."""
        with self._border():
            versions = self._versions()
        stored = (
            Stored(
                step=int(version.metadata.get("step", -1)),
                where=version.qualified_name,
                written=float(version.version.removeprefix("v")),
            )
            for version in versions
        )
        return tuple(sorted(stored, key=lambda one: (one.step, one.written), reverse=True))

    def fetch(self, stored: Stored, into: Path) -> None:
        """Download a version; its files' hashes are checked against its manifest afterwards."""
        with self._border():
            try:
                self._api().artifact(stored.where, type=TYPE).download(root=str(into), skip_cache=True)
            except ValueError as bad:
                raise BadCheckpoint(f"it cannot be downloaded whole ({brief(bad)})") from bad

    def publish(self, folder: Path, manifest: Manifest, digest: str, patience: float) -> Checkpoint:
        """Log a version and wait until it is committed; the same again waits for the version that is on its way."""
        if self._underway is None or self._underway.digest != digest:
            self._underway = self._begun(folder, manifest, digest)
        if not self._underway.has_ended(patience):
            size = manifest.size_bytes >> 20
            raise StillUploading(f"the {size} MiB of step {manifest.step} were not taken within {patience:.0f} s")
        ended, self._underway = self._underway, None
        with self._in_our_words(), self._through(ended.run):
            logged = ended.answer.result()
        return Checkpoint(
            step=manifest.step,
            artifact=logged.qualified_name,
            digest=digest,
            size_bytes=manifest.size_bytes,
            committed_at=datetime.now(UTC),
            kind=manifest.kind,
        )

    def _begun(self, folder: Path, manifest: Manifest, digest: str) -> Upload:
        """Begin an upload; the files must stay as they are until it has ended."""
        tracking = self._tracking()
        run = tracking.run if tracking is not None else None
        if run is None:
            raise StoreUnreachable("the W&B run is not open yet")
        artifact = wandb.Artifact(
            self._name,
            type=TYPE,
            metadata={
                "step": manifest.step,
                "kind": manifest.kind.value,
                "digest": digest,
                "job_uid": manifest.job_uid,
                "token": manifest.token,
            },
        )
        with self._border(), self._through(run):
            add_files(artifact, files_in(folder), stay=True)
            upload = Upload(run, digest)
            upload.follow(run.log_artifact(artifact, aliases=["latest", f"step-{manifest.step}"]))
        return upload

    def prune(self, keep: int) -> None:
        """Delete all but the newest versions."""
        kept = {stored.where for stored in self.newest_first()[:keep]}
        with self._border():
            for version in self._versions():
                if version.qualified_name not in kept:
                    version.delete(delete_aliases=True)

    def has_finished(self) -> bool:
        """Whether the run says that this job's work is done."""
        with self._border():
            return any(self._is_finished(name) for name in run_ids(self._kept_by))

    def _is_finished(self, name: str) -> bool:
        try:
            run = self._api().run(f"{self._project()}/{name}")
        except (ValueError, wandb.errors.CommError) as absent:
            if is_absence(str(absent)):
                return False
            raise
        return run.summary.get(FINISHED_KEY) is not None and run.state == "finished"

    def mark_finished(self, uid: str) -> None:
        """Nothing to do: closing the run writes it into the run's summary."""

    def _versions(self) -> list[Any]:
        try:
            collection = self._api().artifact_collection(TYPE, f"{self._project()}/{self._name}")
            return list(collection.artifacts())
        except (ValueError, wandb.errors.CommError) as absent:
            if is_absence(str(absent)):
                return []
            raise

    def _project(self) -> str:
        entity = self._settings.entity or self._api().default_entity
        return f"{entity}/{self._settings.project}"

    def _api(self) -> Any:
        if self._api_at_first_use is None:
            self._api_at_first_use = wandb.Api(overrides={"base_url": self._settings.base_url}, timeout=API_TIMEOUT)
        return self._api_at_first_use

    @contextlib.contextmanager
    def _border(self) -> Iterator[None]:
        """Ask W&B for something, unless it is away."""
        if (silence := reachable(self._settings.base_url)) is not None:
            raise StoreUnreachable(silence)
        with self._in_our_words():
            yield

    @contextlib.contextmanager
    def _through(self, run: Any) -> Iterator[None]:
        """Do something through a run; when the SDK's process has ended with it, the run is opened again."""
        try:
            yield
        except LOST as ended:
            if (tracking := self._tracking()) is not None:
                tracking.lose(run, ended)
            raise

    @contextlib.contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Turn whatever W&B raises when it is away into one exception; a refused key is the author's."""
        try:
            yield
        except (
            ValueError,
            wandb.errors.Error,
            requests.RequestException,
            OSError,
            *LOST,
        ) as problem:
            self._api_at_first_use = None  # Its connection may have ended with the SDK's process.
            if isinstance(problem, wandb.errors.AuthenticationError) or is_refusal(str(problem)):
                raise key_refused(self._settings, str(problem)) from problem
            raise StoreUnreachable(brief(problem)) from problem


def is_absence(text: str) -> bool:
    """Whether W&B said that something does not exist."""
    return any(sign in text.lower() for sign in ("not found", "could not find", "does not exist", "unable to fetch"))
