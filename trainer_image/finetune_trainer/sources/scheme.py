"""What a place that models and data come from must do; each is one module of this package."""

from pathlib import Path
from typing import Any, Protocol

from finetune_trainer.contract.sources import DatasetSource


class Scheme(Protocol):
    """A kind of place, by the beginning of its uris."""

    def version(self, uri: str, revision: str | None, what: str) -> str | None:
        """Which version is there now, so that a later attempt reads the same; none where the place has no versions.

        `what` is the field that names the place, for messages.
        """

    def at(self, version: str) -> dict[str, str]:
        """The fields of a source that name exactly this version."""

    def shared(self, uri: str) -> Path | None:
        """What rank 0 fetches for all nodes; none where every node reads for itself."""

    def folder(self, uri: str, revision: str | None, what: str) -> Path:
        """Where the files are on this machine, after fetching them if need be."""

    def builder(self, source: DatasetSource, cache: Path) -> Any:
        """The data set's builder; nothing is prepared yet."""
