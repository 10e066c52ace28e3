"""Which files of a mounted folder are data, of which kind, and to which split they belong."""

import re
from pathlib import Path

from finetune_trainer.errors import ConfigurationError

KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
}
NO_DATA = frozenset({"dataset_info.json", "dataset_dict.json", "state.json"})
"""What `Dataset.save_to_disk` writes beside the rows."""
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}
SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def local_files(root: Path, uri: str) -> tuple[str, dict[str, list[str]]]:
    """The kind of the files at or below a path, and the files of each split; messages call it by its uri."""
    if not root.exists():
        raise ConfigurationError(
            "DatasetNotFound", f"Nothing is at {uri} in the trainer's pod. Correct dataset.uri, or mount the volume."
        )
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if _is_data(path))
    kinds = {path.suffix for path in files}
    if len({KINDS.get(kind) for kind in kinds}) != 1 or not kinds <= KINDS.keys() or kinds == {".csv", ".tsv"}:
        raise ConfigurationError(
            "UnreadableFile",
            f"{uri} holds {_said(kinds)}. Data are files of one kind: {', '.join(KINDS)}.",
        )
    if not any(path.stat().st_size for path in files):
        raise ConfigurationError("EmptyDataset", f"The files of {uri} are empty. Write the data there.")
    if root.is_file():
        return KINDS[root.suffix], {"train": [str(root)]}
    return KINDS[files[0].suffix], _by_split(root, files)


def _is_data(path: Path) -> bool:
    return path.suffix in KINDS and path.name not in NO_DATA


def _said(kinds: set[str]) -> str:
    return "files of the kinds " + ", ".join(sorted(kind or "(none)" for kind in kinds)) if kinds else "no data files"


def _by_split(root: Path, files: list[Path]) -> dict[str, list[str]]:
    """Files by the split in their name or folder; else by their own name, or all as train when none is said."""
    found: dict[str, list[str]] = {}
    for path in files:
        found.setdefault(_split_of(path.relative_to(root)), []).append(str(path))
    if not found.keys() & SPLITS.keys():
        return {"train": [str(path) for path in files]}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "train", name))}


def _split_of(path: Path) -> str:
    words = re.split(r"[^a-z]+", SHARD.sub("", str(path.with_suffix(""))).lower())
    for name, spellings in SPLITS.items():
        if any(word in spellings for word in words):
            return name
    return re.sub(r"\W", "_", SHARD.sub("", path.stem))
