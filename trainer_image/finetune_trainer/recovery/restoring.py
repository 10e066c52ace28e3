"""Which checkpoint an attempt starts from: the newest that is whole, ours and fits; never silently less.

The rules are those of the contract: at `FINETUNE_MIN_STEP` only the one with the digest that the status names, above
it only what carries the job's uid, below it only past that checkpoint, seen and found bad, or past as many newer bad
ones as the job keeps, for then the named one was pruned.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finetune_trainer.contract.outcome import CheckpointKind
from finetune_trainer.errors import ConfigurationError, RetryLater
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.recovery.manifest import BadCheckpoint, ForeignCheckpoint, Manifest, verified
from finetune_trainer.recovery.stores import Store, Stored, StoreUnreachable
from finetune_trainer.redaction import redacted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """What a checkpoint must have been taken of to be resumed from."""

    job_uid: str
    world_size: int
    mathematics: str
    dataset: str
    base: str = ""
    allow_change: bool

    def draft(self, step: int, kind: CheckpointKind, token: str) -> Manifest:
        """The manifest of a checkpoint that the job now makes, its files not counted yet."""
        return Manifest(
            step=step,
            kind=kind,
            job_uid=self.job_uid,
            token=token,
            world_size=self.world_size,
            mathematics=self.mathematics,
            dataset=self.dataset,
            base=self.base,
            files={},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A verified checkpoint in this pod."""

    folder: Path
    manifest: Manifest
    digest: str
    where: str


@dataclass(slots=True)
class Search:
    """The way from the newest checkpoint down to one that can be resumed from."""

    store: Store
    here: Surroundings
    keep: int
    """How many checkpoints the job keeps."""
    passed_over: list[str] = field(default_factory=list)
    _bad: list[int] = field(default_factory=list)
    """The steps of the job's own checkpoints that were seen and found bad."""

    def newest(self, into: Path, job_uid: str) -> Restored | None:
        """The checkpoint to resume from, verified, in a folder of this pod; none when the job has none."""
        for stored in self._candidates():
            self._refuse_to_lose(stored.step)
            try:
                found = self._fetched(stored, into, job_uid)
            except BadCheckpoint as bad:
                if not isinstance(bad, ForeignCheckpoint):
                    self._bad.append(stored.step)
                self.passed_over.append(f"{stored.where} (step {stored.step}): {bad}")
                log.warning("A checkpoint is passed over: %s", redacted(self.passed_over[-1]))
                shutil.rmtree(into, ignore_errors=True)
            except StoreUnreachable as problem:
                raise self._unreachable(str(problem)) from problem
            else:
                log.info("Training goes on from step %d: %s", stored.step, stored.where)
                return found
        self._refuse_to_lose(0)
        return None

    def _candidates(self) -> Sequence[Stored]:
        try:
            return self.store.newest_first()
        except StoreUnreachable as problem:
            if self.here.attempt == 1 and self.here.min_step is None:
                return ()  # A first attempt has nothing to lose; W&B may come up while it trains.
            raise self._unreachable(str(problem)) from problem

    def _refuse_to_lose(self, step: int) -> None:
        """Going below the step that the status names needs that checkpoint, or all kept after it, to be bad."""
        least = self.here.min_step
        if least is not None and step < least and least not in self._bad and len(set(self._bad)) < self.keep:
            raise RetryLater(
                "CheckpointNotFound",
                f"The checkpoint of step {least}, which the job's status names, is not in its store, and nothing newer "
                "that is whole. The job waits rather than train those steps again. If the checkpoint was removed on "
                "purpose, create the job anew.",
            )

    def _fetched(self, stored: Stored, into: Path, job_uid: str) -> Restored:
        shutil.rmtree(into, ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        self.store.fetch(stored, into)
        manifest, digest = verified(into)
        if manifest.job_uid != job_uid:
            raise ForeignCheckpoint("it belongs to another job")
        if manifest.step != stored.step:
            raise BadCheckpoint(f"it was taken at step {manifest.step}, not where its name says")
        if manifest.step == self.here.min_step and self.here.min_digest not in {None, digest}:
            raise BadCheckpoint("its digest is not the one that the job's status names")
        return Restored(folder=into, manifest=manifest, digest=digest, where=stored.where)

    def _unreachable(self, problem: str) -> RetryLater:
        return RetryLater(
            "CheckpointStoreUnreachable",
            f"The store of the job's checkpoints cannot be reached: {problem}. The job is tried again; it does not "
            "start from the beginning while a checkpoint may exist.",
        )


def refuse_changes(restored: Restored, now: Belonging) -> None:
    """Resuming with other mathematics is not resuming, unless the job allows it."""
    taken = restored.manifest
    changes = [
        sentence
        for changed, sentence in (
            (taken.mathematics != now.mathematics, "the configuration (model, data or training) changed"),
            (taken.dataset != now.dataset, "the data set's content changed"),
            (taken.base != now.base, "the weights of the model under the adapter changed"),
            (
                taken.world_size != now.world_size,
                f"the number of processes changed from {taken.world_size} to {now.world_size}",
            ),
        )
        if changed
    ]
    if changes and not now.allow_change:
        raise ConfigurationError(
            "CheckpointDoesNotFit",
            f"The checkpoint of step {taken.step} cannot be resumed from: {'; '.join(changes)}. Undo the change, set "
            "checkpoint.allowChange to accept it, or create the job anew to train from the beginning.",
        )
