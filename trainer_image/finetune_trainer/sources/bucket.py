"""s3:// and gs://, the objects below a prefix of a bucket, or a single one.

A bucket keeps no old versions that we could ask for, so the version is the hash of what was read: an attempt that
finds something else is refused. Every node reads for itself.
"""

import fnmatch
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from finetune_trainer import buckets, weightless
from finetune_trainer.contract.model import Model
from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.errors import ConfigurationError, RetryLater
from finetune_trainer.files import NOT_A_MODEL
from finetune_trainer.sources import file, hf
from finetune_trainer.sources.fetched import fetched

AT_ONCE = 8
"""Objects that are fetched side by side."""
OF_TRAINING = (*NOT_A_MODEL, "checkpoint-*")


class Seen(Model):
    """What was fetched, kept beside it."""

    version: str
    """The hash of names and contents."""
    single: str | None
    """The name of the object, where the uri names one alone."""
    newest: str
    """The object that was written last, and when; for messages."""


def version(uri: str, revision: str | None, what: str) -> str | None:
    """The hash of what is there, which is fetched for that."""
    del revision
    return _read(uri, what)[1].version


def at(version: str) -> dict[str, str]:
    """Exactly that content."""
    return {"revision": version}


def shared(uri: str) -> Path | None:
    """Every node reads for itself."""
    del uri
    return None


def folder(uri: str, revision: str | None, what: str) -> Path:
    """A model's files."""
    return _as_begun(uri, revision, what)[0]


def builder(source: DatasetSource, cache: Path) -> Any:
    """The builder of the data files that are there."""
    root, seen = _as_begun(source.uri, source.revision, "dataset")
    return file.of_files(root / seen.single if seen.single else root, source, cache)


def _as_begun(uri: str, revision: str | None, what: str) -> tuple[Path, Seen]:
    """The files, if they are those that the job began with."""
    root, seen = _read(uri, what)
    if revision not in {None, seen.version}:
        raise ConfigurationError(
            "SourceChanged",
            f"{what}.uri: {uri} is not what this job began with; written last was {seen.newest}. Put the old objects "
            "back, set checkpoint.allowChange to go on with these, or create the job anew.",
        )
    return root, seen


def _read(uri: str, what: str) -> tuple[Path, Seen]:
    is_model = not what.startswith("dataset")
    name = f"{uri} {is_model} {weightless.is_on()}"
    root = fetched(name, lambda into: _fetch(buckets.folder(uri, f"{what}.uri"), into, is_model=is_model))
    return root, Seen.model_validate_json(_beside(root).read_text())


def _beside(root: Path) -> Path:
    return root.with_suffix(".json")


def _fetch(there: buckets.Folder, into: Path, *, is_model: bool) -> None:
    """Everything that is of use, as it was at one moment."""
    found = there.objects()
    wanted = _of_a_model(found) if is_model else found
    if not wanted:
        raise ConfigurationError(
            "ModelNotFound" if is_model else "DatasetNotFound",
            f"{there.field}: nothing is at {there.uri}. Correct it, or put the files there.",
        )
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(partial(there.fetch, into=into), wanted))
    hashes = {one.name: _hash(into / one.name) for one in wanted}
    _refuse_part_of_a_delivery(there, hashes)
    if there.objects() != found:
        raise RetryLater("SourceChanging", f"{there.uri} was written to while it was read. It is tried again.")
    newest = max(wanted, key=lambda one: one.changed)
    seen = Seen(
        version=hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest(),
        single=wanted[0].name if wanted[0].path == there.path else None,
        newest=f"{newest.name} at {newest.changed.isoformat(timespec='seconds')}",
    )
    _beside(into).write_text(seen.model_dump_json())


def _of_a_model(found: Sequence[buckets.Object]) -> tuple[buckets.Object, ...]:
    """Without what only other frameworks read, and without what only a resumed training does."""
    is_safe = any(one.name.endswith(".safetensors") for one in found)
    skipped = (*hf.OTHER_FRAMEWORKS, *OF_TRAINING, *(hf.PICKLES if is_safe else ()))
    skipped += weightless.WEIGHTS if weightless.is_on() else ()
    return tuple(one for one in found if not any(fnmatch.fnmatch(one.name, pattern) for pattern in skipped))


def _refuse_part_of_a_delivery(there: buckets.Folder, hashes: dict[str, str]) -> None:
    """A model that a job delivered comes with a list of its files, written last."""
    said = there.delivery() if buckets.DELIVERY in hashes else None
    if said is not None and (
        not said.complete or any(hashes.get(name, one) != one for name, one in said.files.items())
    ):
        raise RetryLater(
            "ModelIncomplete",
            f"{there.uri} is not whole: another job is delivering it, or has died at it. It is tried again.",
        )


def _hash(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
