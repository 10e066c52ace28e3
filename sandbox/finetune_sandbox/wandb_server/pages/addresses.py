"""Where things are shown: W&B's own addresses."""

from collections.abc import Iterable
from urllib.parse import quote, urlencode

from finetune_sandbox.wandb_server.records import ArtifactRecord, RunHead


def project(entity: str, name: str) -> str:
    """The list of a project's runs."""
    return _path(entity, name)


def run(shown: RunHead) -> str:
    """A run's page."""
    return _path(shown.entity, shown.project, "runs", shown.id)


def version(shown: ArtifactRecord) -> str:
    """The page of one version of an artifact."""
    return _path(shown.entity, shown.project, "artifacts", shown.type, shown.collection, f"v{shown.version}")


def group(name: str) -> str:
    """The runs of a group, side by side."""
    return "/compare?" + urlencode({"group": name})


def comparison(runs: Iterable[RunHead]) -> str:
    """Some runs side by side."""
    return "/compare?" + urlencode([("run", reference(each)) for each in runs])


def reference(shown: RunHead) -> str:
    """What names a run on this server."""
    return f"{shown.entity}/{shown.project}/{shown.id}"


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(each, safe="") for each in parts)
