"""What the operator asks of a cluster, as a protocol.

`client` implements it over the Kubernetes API, the sandbox's memory API in memory; one suite holds both to it.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Manifest = dict[str, Any]
"""An object of the API as JSON has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object and where the API serves it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """The apiVersion of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


JOB = Kind(group="finetune.dev", version="v1alpha1", plural="finetunejobs", kind="FineTuneJob")
POD = Kind(group="", version="v1", plural="pods", kind="Pod")
CONFIG_MAP = Kind(group="", version="v1", plural="configmaps", kind="ConfigMap")
SERVICE = Kind(group="", version="v1", plural="services", kind="Service")
EVENT = Kind(group="", version="v1", plural="events", kind="Event")
LEASE = Kind(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
# Only nodes and schedulers need these; the operator has no right to them.
NODE = Kind(group="", version="v1", plural="nodes", kind="Node")
SECRET = Kind(group="", version="v1", plural="secrets", kind="Secret")


class ChangeType(StrEnum):
    """What a watch says."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a watch."""

    type: ChangeType
    object: Manifest


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of a list, and the version from which a watch goes on."""

    items: tuple[Manifest, ...]
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects of a kind: of one namespace or all, with these labels (equal, or present when None)."""

    kind: Kind
    namespace: str | None = None
    labels: Mapping[str, str | None] = field(default_factory=dict)


class ClusterError(Exception):
    """The API could not do it now; the base of all that a `Cluster` raises."""


class NotFound(ClusterError):
    """404: there is no such object."""


class AlreadyExists(ClusterError):
    """409 on create: an object of that name is there."""


class Conflict(ClusterError):
    """409 on a write with a resourceVersion or uid: the object is not what it was."""


class Refused(ClusterError):
    """400, 403, 405, 422: the same request will be refused again. The message is the API server's."""


class Expired(ClusterError):
    """410: the version to watch from is gone; list again."""


class Unavailable(ClusterError):
    """5xx, 429, no connection, no answer in time: try again later."""


class Cluster(Protocol):
    """A cluster's API. Every method raises only `ClusterError`s."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """The object, None when there is none."""

    async def list(self, selection: Selection) -> Listing:
        """A consistent list, straight from the store."""

    def watch(self, selection: Selection, resource_version: str) -> AsyncGenerator[Change]:
        """Changes since that version, bookmarks too; ends when the server closes it, raises `Expired` on 410."""

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create; raises `AlreadyExists`, `Refused` (also for a namespace that is absent or going)."""

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Replace the object; its resourceVersion must still be the present one, else `Conflict`."""

    async def patch_status(
        self, kind: Kind, namespace: str | None, name: str, status: Manifest, *, resource_version: str | None = None
    ) -> Manifest:
        """Merge-patch the status subresource; `Conflict` when the version is given and no longer the present one."""

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Delete; an object that is gone is no error; `Conflict` when another uid has taken the name."""
