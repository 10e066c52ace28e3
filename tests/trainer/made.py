"""Checkpoints made by hand, for tests that need no training."""

from pathlib import Path

from finetune_trainer.contract.outcome import CheckpointKind
from finetune_trainer.recovery.manifest import Manifest, entries, seal
from finetune_trainer.recovery.stores import VolumeStore


def draft(step: int, *, job_uid: str = "uid", world_size: int = 1) -> Manifest:
    """What a checkpoint says of itself before its files are hashed."""
    return Manifest(
        step=step,
        kind=CheckpointKind.PERIODIC,
        job_uid=job_uid,
        token="token-1",
        world_size=world_size,
        mathematics="mathematics",
        dataset="dataset",
        files={},
    )


def written(folder: Path, content: str = "weights") -> Path:
    """A folder with the files of a checkpoint."""
    (folder / "deeper").mkdir(parents=True)
    (folder / "model").write_text(content)
    (folder / "deeper" / "optimizer").write_text(content)
    return folder


def sealed(folder: Path, manifest: Manifest) -> tuple[Manifest, str]:
    """A complete checkpoint in a folder."""
    whole = manifest.model_copy(update={"files": entries(written(folder, f"weights of {manifest.step}"))})
    return whole, seal(folder, whole)


def published(store: VolumeStore, scratch: Path, step: int, *, job_uid: str = "uid") -> tuple[str, Path]:
    """A checkpoint in a volume: its digest and its folder there."""
    folder = scratch / f"made-{step}"
    manifest, digest = sealed(folder, draft(step, job_uid=job_uid))
    artifact = store.publish(folder, manifest, digest, patience=1).artifact or ""
    return digest, Path(artifact.removeprefix("file://"))
