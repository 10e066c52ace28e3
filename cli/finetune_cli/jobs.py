"""Reads jobs from files, as kubectl does."""

import sys
from pathlib import Path
from typing import Any

import yaml
from finetune_operator import names
from finetune_operator.api.kubernetes_yaml import documents


class JobFileError(Exception):
    """A file that holds no jobs; the message says what it holds, and the next step."""


def jobs(file: str) -> tuple[dict[str, Any], ...]:
    """The jobs in a file, or on standard input for `-`."""
    return jobs_and_others(file)[0]


def jobs_and_others(file: str) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """The jobs in a file, or on standard input for `-`, and the ConfigMaps and Secrets beside them."""
    read = _documents(file)
    found = tuple(_named(d) for d in read if is_meant_as_job(d))
    if not found:
        raise JobFileError(f"{file} holds no {names.KIND}. Write one as in the examples.")
    return found, tuple(d for d in read if isinstance(d, dict) and d.get("kind") in {"ConfigMap", "Secret"})


def _documents(file: str) -> list[Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return [each for document in documents(text) for each in _unfolded(document)]
    except OSError as error:
        raise JobFileError(f"{file} cannot be read: {error.strerror}. Correct the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise JobFileError(f"{file} is no YAML: {error}. Correct it there.") from error


def _unfolded(document: Any) -> list[Any]:
    """What a List holds, as `kubectl get -o yaml` prints one; anything else is one document."""
    if isinstance(document, dict) and str(document.get("kind")).endswith("List"):
        return list(document.get("items") or ())
    return [document]


def _named(job: dict[str, Any]) -> dict[str, Any]:
    """The job without nulls in its metadata, and with a name such as the API server makes for `generateName`."""
    if not isinstance(job.get("metadata"), dict):
        return job
    metadata = {name: value for name, value in job["metadata"].items() if value is not None}
    if isinstance(prefix := metadata.get("generateName"), str):
        metadata = {"name": f"{prefix}xxxxx", **metadata}
    return {**job, "metadata": metadata}


def is_meant_as_job(document: object) -> bool:
    """Whether a document is ours by group or kind; Secrets and the like may stand beside."""
    if not isinstance(document, dict):
        return False
    return document.get("kind") == names.KIND or str(document.get("apiVersion")).startswith(f"{names.GROUP}/")
