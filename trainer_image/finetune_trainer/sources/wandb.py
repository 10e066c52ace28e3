"""wandb://entity/project/artifact:alias, a version of a W&B artifact.

Rank 0 alone has the key: it fetches a version once, and other nodes get the files from it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import wandb

from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.errors import ConfigurationError, RetryLater
from finetune_trainer.sources import file
from finetune_trainer.sources.fetched import fetched, place
from finetune_trainer.tracking.run import brief, is_refusal, reachable

SCHEME = "wandb://"
API_TIMEOUT = 30
DEFAULT_SERVER = "https://api.wandb.ai"
HIDDEN = ("not found", "could not find", "does not exist", "unable to fetch", "permission denied", "403", "forbidden")
"""What W&B says of an artifact that is not there, or not this key's to read: it does not always tell them apart."""


def version(uri: str, revision: str | None, what: str) -> str | None:
    """The number that an alias points at."""
    del revision
    found = _artifact(uri, what)  # Its own name still has the alias.
    return f"{found.entity}/{found.project}/{found.collection.name}:{found.version}"


def at(version: str) -> dict[str, str]:
    """That number."""
    return {"uri": f"{SCHEME}{version}"}


def shared(uri: str) -> Path | None:
    """The folder that the version is fetched into."""
    return place(uri)


def folder(uri: str, revision: str | None, what: str) -> Path:
    """The version's files, fetched whole or not at all."""
    del revision
    return fetched(uri, lambda into: _download(uri, what, into))


def builder(source: DatasetSource, cache: Path) -> Any:
    """The builder of the data files in the artifact."""
    return file.of_files(folder(source.uri, None, "dataset"), source, cache)


def _download(uri: str, what: str, into: Path) -> None:
    artifact = _artifact(uri, what)
    with _border(uri, what):
        artifact.download(root=str(into), skip_cache=True)


def _artifact(uri: str, what: str) -> Any:
    if not os.environ.get("WANDB_API_KEY"):
        raise ConfigurationError(
            "WandbKeyMissing",
            f"{uri} is read from W&B, and the job has no API key. Name a Secret in wandb.secretRef, or correct "
            f"{what}.uri.",
        )
    with _border(uri, what):
        api = wandb.Api(overrides={"base_url": _server()}, timeout=API_TIMEOUT)
        return api.artifact(uri.removeprefix(SCHEME))


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or DEFAULT_SERVER


@contextmanager
def _border(uri: str, what: str) -> Iterator[None]:
    """Say whose turn it is when W&B does not give what was asked for."""
    if (silence := reachable(_server())) is not None:
        raise _away(uri, silence)
    try:
        yield
    except (ValueError, wandb.errors.Error) as problem:
        if isinstance(problem, wandb.errors.AuthenticationError) or is_refusal(str(problem)):
            raise ConfigurationError(
                "WandbKeyRefused",
                f"W&B at {_server()} refused the API key for {uri}. Put a valid one into the secret that "
                "spec.wandb.secretRef names.",
            ) from problem
        if any(sign in str(problem).lower() for sign in HIDDEN):
            raise ConfigurationError(
                "ArtifactNotFound",
                f"{uri} is not in W&B, or is hidden from this key. Correct {what}.uri, which is "
                "wandb://entity/project/artifact:alias, or name a Secret with a key that may read it in "
                "wandb.secretRef.",
            ) from problem
        raise _away(uri, brief(problem)) from problem
    except (requests.RequestException, OSError, TimeoutError) as problem:
        raise _away(uri, brief(problem)) from problem


def _away(uri: str, why: str) -> RetryLater:
    return RetryLater("WandbUnreachable", f"W&B cannot be reached at {_server()} for {uri}: {why}. It is tried again.")
