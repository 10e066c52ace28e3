"""What makes a checkpoint a checkpoint: every file with its hash, and what it belongs to."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from finetune_trainer.contract.free_arguments import FREE_TO_CHANGE
from finetune_trainer.contract.model import Model
from finetune_trainer.contract.outcome import CheckpointKind
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.files import files_in

MANIFEST = "manifest.json"
CHUNK = 1 << 20


ORDER_OF_A_STREAM = frozenset({"dataloader_num_workers"})
"""What is free to change where data are prepared before: several workers read a stream's files side by side."""


class FileEntry(Model):
    """One file of a checkpoint."""

    size: int
    """Its size in bytes."""
    sha256: str
    """The SHA-256 of its content."""


class Manifest(Model):
    """What is in a checkpoint and what it belongs to."""

    step: int = Field(ge=0)
    """The optimizer step after which it was taken."""
    kind: CheckpointKind = CheckpointKind.PERIODIC
    """Why it was taken."""
    job_uid: str
    """The job it belongs to."""
    token: str
    """The attempt that wrote it."""
    world_size: int
    """The number of ranks that wrote it."""
    mathematics: str
    """The hash of what changes the mathematics in the run configuration."""
    dataset: str
    """The fingerprint of the data."""
    base: str = ""
    """The fingerprint of the weights that an adapter lies on, which no file holds; empty without an adapter."""
    files: dict[str, FileEntry]
    """Every file but this one, by its path in the checkpoint."""

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(entry.size for entry in self.files.values())


class BadCheckpoint(Exception):
    """A checkpoint that was seen and is not whole; the message says what is wrong with it."""


class ForeignCheckpoint(BadCheckpoint):
    """A checkpoint that is not this job's: it says nothing about the job's own."""


def mathematics(config: RunConfig) -> str:
    """The hash of everything in a run configuration that changes the numbers."""
    named = config.model_dump(
        mode="json",
        include={"task", "model", "dataset", "tokenizer", "global_batch_size", "peft", "preference", "distributed"},
    )
    if not config.dataset.streaming:
        named["dataset"] = _without_places(named["dataset"])
    training = {
        name: value
        for name, value in config.training.model_dump(mode="json", exclude_unset=True).items()
        if name not in FREE_TO_CHANGE or (name in ORDER_OF_A_STREAM and config.dataset.streaming)
    }
    own = config.extensions.model_dump(mode="json", include={"collator", "optimizer", "loss"})
    return digest_of({**named, "training": training, "extensions": own})


def _without_places(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """A data set whose files are known by their names: where a volume is mounted changes no number.

    What is in them is held by the data's own fingerprint.
    """
    uri: str = dataset["uri"]
    name = uri.rstrip("/").rpartition("/")[2] if uri.startswith("file://") else uri
    others = [_without_places(each) for each in dataset.get("mix") or ()]
    return {**dataset, "uri": name, "mix": others}


def digest_of(value: Mapping[str, Any]) -> str:
    """The hash of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def hashed(path: Path) -> FileEntry:
    """The size and hash of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    return FileEntry(size=path.stat().st_size, sha256=digest.hexdigest())


def entries(folder: Path) -> dict[str, FileEntry]:
    """The files of a checkpoint but its manifest, with their hashes."""
    return {name: hashed(path) for name, path in files_in(folder).items() if name != MANIFEST}


def seal(folder: Path, manifest: Manifest) -> str:
    """Write the manifest and return its digest; bringing files to the disk is the durable place's part."""
    text = json.dumps(manifest.model_dump(mode="json"), sort_keys=True)
    (folder / MANIFEST).write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a checkpoint and its digest."""
    try:
        content = (folder / MANIFEST).read_bytes()
        return Manifest.model_validate_json(content), hashlib.sha256(content).hexdigest()
    except OSError:
        raise BadCheckpoint("it has no manifest, so it was never complete") from None
    except ValueError:
        raise BadCheckpoint("its manifest cannot be read") from None


def verified(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a checkpoint of which every hash was checked, and its digest."""
    manifest, digest = read_manifest(folder)
    found = entries(folder)
    if wrong := first_difference(manifest.files, found):
        raise BadCheckpoint(wrong)
    return manifest, digest


def first_difference(wanted: Mapping[str, FileEntry], found: Mapping[str, FileEntry]) -> str | None:
    """What is wrong with the files of a checkpoint, in words."""
    for name, entry in wanted.items():
        if name not in found:
            return f"{name} is missing"
        if found[name].size != entry.size:
            return f"{name} has {found[name].size} bytes instead of {entry.size}"
        if found[name] != entry:
            return f"{name} has another hash than it was written with"
    return None
