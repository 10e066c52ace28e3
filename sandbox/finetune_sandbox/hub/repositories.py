"""Repositories in a folder: `models/OWNER/NAME/BRANCH/...` and `datasets/OWNER/NAME/BRANCH/...`.

A branch's commit is the hash of its content: the same files have the same commit everywhere.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetune_sandbox.hub import chats, encoder_decoder, leaves, marked, models, reviews, rows, stories, vision

KINDS = ("models", "datasets")
NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w.-]*", re.ASCII)
"""What an owner or a repository may be called: nothing that leads out of the folder, nor to a hidden file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One repository at one commit."""

    kind: str
    """`models` or `datasets`."""
    id: str
    folder: Path
    commit: str
    files: Mapping[str, str]
    """The git blob hash by path."""


@dataclass(frozen=True, slots=True)
class Repositories:
    """What the hub has, read from disk."""

    root: Path
    _hashes: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def folder(self, kind: str, name: str) -> Path | None:
        """Where a repository lies or would lie; None when nothing can be called so."""
        parts = name.split("/")
        is_name = kind in KINDS and len(parts) == 2 and all(NAME.fullmatch(each) for each in parts)
        return self.root / kind / name if is_name else None

    def has(self, kind: str, name: str) -> bool:
        """Whether there is such a repository."""
        folder = self.folder(kind, name)
        return folder is not None and folder.is_dir()

    def snapshot(self, kind: str, name: str, revision: str) -> Snapshot | None:
        """The repository at a branch or commit."""
        branches = sorted(each for each in (self.root / kind / name).iterdir() if each.is_dir())
        for each in branches:
            found = self._snapshot(kind, name, each)
            if revision in {each.name, found.commit}:
                return found
        return None

    def _snapshot(self, kind: str, name: str, folder: Path) -> Snapshot:
        paths = sorted(each for each in folder.rglob("*") if each.is_file())
        files = {each.relative_to(folder).as_posix(): self._hash(each) for each in paths}
        told = "".join(f"{path}\0{digest}\n" for path, digest in files.items())
        commit = hashlib.sha1(told.encode(), usedforsecurity=False).hexdigest()
        return Snapshot(kind=kind, id=name, folder=folder, commit=commit, files=files)

    def _hash(self, path: Path) -> str:
        state = path.stat()
        key = (str(path), state.st_mtime_ns, state.st_size)
        if key not in self._hashes:
            content = path.read_bytes()
            head = f"blob {len(content)}\0".encode()
            self._hashes[key] = hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
        return self._hashes[key]


def furnish(root: Path, *, seed: int = 0) -> None:
    """Put the sandbox's own models and data sets into a folder, where they are missing."""
    made: dict[str, Callable[[Path, int], None]] = {
        "models/google-bert/bert-base-uncased": models.bert,
        "models/openai-community/gpt2": models.gpt2,
        "models/HuggingFaceTB/SmolLM2-135M-Instruct": chats.llama,
        "models/google-t5/t5-small": encoder_decoder.t5,
        "models/google/vit-base-patch16-224-in21k": vision.vit,
        "datasets/nyu-mll/glue": _glue,
        "datasets/Yelp/yelp_review_full": reviews.yelp,
        "datasets/HuggingFaceTB/smoltalk": chats.smoltalk,
        "datasets/trl-lib/ultrafeedback_binarized": chats.ultrafeedback,
        "datasets/Salesforce/wikitext": _wikitext,
        "datasets/EdinburghNLP/xsum": _xsum,
        "datasets/Helsinki-NLP/opus_books": stories.opus,
        "datasets/allenai/swag": _swag,
        "datasets/AI-Lab-Makerere/beans": leaves.beans,
        "datasets/eriktks/conll2003": marked.conll2003,
        "datasets/rajpurkar/squad": marked.rajpurkar,
        "datasets/google-research-datasets/go_emotions": marked.go_emotions,
        "datasets/sentence-transformers/stsb": marked.stsb,
    }
    for name, make in made.items():
        if not (root / name).exists():
            _place(root / name, make, seed)


def _place(repository: Path, make: Callable[[Path, int], None], seed: int) -> None:
    """Make a repository beside its place, then rename it: one that is half made is never taken for one."""
    beside = repository.with_name(f".{repository.name}")
    shutil.rmtree(beside, ignore_errors=True)  # Of a start that was killed.
    make(beside / "main", seed)
    beside.rename(repository)


def _glue(folder: Path, seed: int) -> None:
    rows.dataset(folder, {"mrpc": (rows.MRPC, rows.mrpc), "sst2": (rows.SST2, rows.sst2)}, seed)


def _wikitext(folder: Path, seed: int) -> None:
    rows.dataset(folder, {"wikitext-2-raw-v1": (rows.TEXT, rows.text)}, seed)


def _xsum(folder: Path, seed: int) -> None:
    rows.dataset(folder, {"default": (stories.XSUM, stories.xsum)}, seed)


def _swag(folder: Path, seed: int) -> None:
    rows.dataset(folder, {"regular": (stories.SWAG, stories.swag)}, seed)
