"""file://, a folder or file that is mounted into the pod."""

from pathlib import Path
from typing import Any

from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.sources.data_files import local_files


def version(uri: str, revision: str | None, what: str) -> str | None:
    """A mounted folder has no versions."""
    del uri, revision, what
    return None


def at(version: str) -> dict[str, str]:
    """Nothing: there is but one."""
    del version
    return {}


def shared(uri: str) -> Path | None:
    """Every pod has the volume mounted."""
    del uri
    return None


def folder(uri: str, revision: str | None, what: str) -> Path:
    """The mounted folder."""
    del revision
    place = Path(uri.removeprefix("file://"))
    if not place.is_dir():
        raise ConfigurationError(
            "ModelNotFound", f"No folder is at {uri} in the trainer's pod. Correct {what}.uri, or mount the volume."
        )
    return place


def builder(source: DatasetSource, cache: Path) -> Any:
    """The builder of the files' kind."""
    return of_files(Path(source.uri.removeprefix("file://")), source, cache)


def of_files(root: Path, source: DatasetSource, cache: Path) -> Any:
    """The builder of data files below a folder; messages name the source's own uri."""
    import datasets

    kind, files = local_files(root, source.uri)
    options: dict[str, Any] = {"data_files": files}
    if kind == "csv":
        options |= _as_written(source, tabs=next(iter(files.values()))[0].endswith(".tsv"))
    return datasets.load_dataset_builder(kind, cache_dir=str(cache), **options)


def _as_written(source: DatasetSource, *, tabs: bool) -> dict[str, Any]:
    """Read texts of a CSV file as they stand: 007 and NA are words too."""
    columns = source.columns.text or ("text",)
    return {"sep": "\t" if tabs else ",", "keep_default_na": False, "converters": dict.fromkeys(columns, str)}
