"""Where models and data come from. A new scheme is one file and one line in `SCHEMES`.

A version that an attempt has begun with is kept: `versions` of an earlier attempt come before what an alias or a branch
points at today, so a resumed job never reads half of its data from another version.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from finetune_trainer import buckets
from finetune_trainer.contract.model import Model
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.sources import bucket, file, hf, wandb
from finetune_trainer.sources.scheme import Scheme

Versions = Mapping[str, str]
"""The version that each place had when the job began, by `key`."""
Source = TypeVar("Source", bound=Model)

KEPT = "sources.json"
"""The versions, in a checkpoint."""
SCHEMES: Mapping[str, Scheme] = MappingProxyType({"hf": hf, "file": file, "wandb": wandb, "s3": bucket, "gs": bucket})
OVERWRITTEN = buckets.SCHEMES
"""Of these only today's version can be read."""


def scheme(uri: str, what: str) -> Scheme:
    """What reads a uri; `what` is the field that names it."""
    name = uri.partition("://")[0]
    if name not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise ConfigurationError("Unsupported", f"{what}.uri: {uri} cannot be read; {known} can. Put it there.")
    return SCHEMES[name]


def folder(uri: str, revision: str | None, *, what: str) -> Path:
    """Where a model's files are on this machine, after fetching them if need be; `what` is the field that named it."""
    return scheme(uri, what).folder(uri, revision, what)


def builder(source: DatasetSource, cache: Path) -> Any:
    """The data set's builder, not prepared yet."""
    return scheme(source.uri, "dataset").builder(source, cache)


def versions(config: RunConfig, earlier: Versions) -> Versions:
    """Which version of everything the job reads; one that an earlier attempt began with stays.

    But for what can only be read as it is today, where the job allows that.
    """
    moves = OVERWRITTEN if config.checkpoint.allow_change else ()
    found = {name: version for name, version in earlier.items() if not name.startswith(moves)}
    for what, uri, revision in _read(config):
        name = key(uri, revision)
        if name not in found and (version := scheme(uri, what).version(uri, revision, what)) is not None:
            found[name] = version
    return found


def settled(config: RunConfig, known: Versions) -> RunConfig:
    """The job with exact versions in place of aliases and branches."""
    return config.model_copy(
        update={
            "model": _settled(config.model, "model", known),
            "tokenizer": _settled(config.tokenizer, "tokenizer", known),
            "dataset": _settled(config.dataset, "dataset", known).model_copy(
                update={"mix": tuple(_settled(one, "dataset.mix", known) for one in config.dataset.mix)}
            ),
        }
    )


def keep(known: Versions, checkpoint: Path) -> None:
    """Let a later attempt know the versions."""
    (checkpoint / KEPT).write_text(json.dumps(dict(known), indent=2, sort_keys=True))


def kept(checkpoint: Path) -> Versions:
    """The versions that the attempt before began with."""
    path = checkpoint / KEPT
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return found


def fetch(config: RunConfig) -> None:
    """Fetch what the other nodes get from this one."""
    for what, uri, _ in _read(config):
        if (kind := scheme(uri, what)).shared(uri) is not None:
            kind.folder(uri, None, what)


def to_hand_out(config: RunConfig) -> tuple[Path, ...]:
    """The folders that rank 0 has fetched for all nodes."""
    places = (scheme(uri, what).shared(uri) for what, uri, _ in _read(config))
    return tuple(dict.fromkeys(place for place in places if place is not None))


def used_artifacts(config: RunConfig) -> tuple[str, ...]:
    """The W&B artifacts that the job is made from, for the run's lineage."""
    uris = (uri for _, uri, _ in _read(config) if uri.startswith(wandb.SCHEME))
    return tuple(dict.fromkeys(uri.removeprefix(wandb.SCHEME) for uri in uris))


def key(uri: str, revision: str | None) -> str:
    """The name of a place as the job writes it."""
    return f"{uri}@{revision}" if revision else uri


def _read(config: RunConfig) -> Iterator[tuple[str, str, str | None]]:
    """Every place that the job reads: its field, its uri, its revision."""
    yield "model", config.model.uri, config.model.revision
    if config.tokenizer.uri is not None:
        yield "tokenizer", config.tokenizer.uri, config.tokenizer.revision
    yield "dataset", config.dataset.uri, config.dataset.revision
    for one in config.dataset.mix:
        yield "dataset.mix", one.uri, one.revision


def _settled(source: Source, what: str, known: Versions) -> Source:
    uri: str | None = getattr(source, "uri", None)
    version = known.get(key(uri, getattr(source, "revision", None))) if uri else None
    if uri is None or version is None:
        return source
    return source.model_copy(update=scheme(uri, what).at(version))
