"""What the cluster holds of one kind, kept up to date by list and watch, in as few bytes as decisions need.

A new list purges what it lacks: an object deleted while the watch was cut is no longer there afterwards.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from finetune_operator.cluster.clock import Clock
from finetune_operator.cluster.port import (
    Change,
    ChangeType,
    Cluster,
    ClusterError,
    Expired,
    Listing,
    Manifest,
    Selection,
)

logger = logging.getLogger(__name__)

EntryT = TypeVar("EntryT")

FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 30.0
REMEMBERED_DELETIONS = 10_000
"""More than are made while one list is on its way."""


class Key(NamedTuple):
    """A job, by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def key_of(manifest: Manifest) -> Key:
    """The namespace and name of an object."""
    metadata = manifest["metadata"]
    return Key(metadata["namespace"], metadata["name"])


@dataclass(frozen=True, slots=True)
class _Held(Generic[EntryT]):
    version: int
    owner: Key
    entry: EntryT


class Store(Generic[EntryT]):
    """The entries, by object and by the job that owns them; tells that job when one of them changes.

    It hears from a watch, from lists and from our own writes, in any order: the higher resourceVersion holds.
    """

    def __init__(
        self, *, entry: Callable[[Manifest], EntryT], owner: Callable[[Manifest], Key], changed: Callable[[Key], None]
    ) -> None:
        self._entry = entry
        self._owner = owner
        self._changed = changed
        self._held: dict[Key, _Held[EntryT]] = {}
        self._owned: dict[Key, set[Key]] = {}
        self._gone: dict[Key, int] = {}
        """The version of recent deletions: a list that is older must not bring the object back."""
        self._heard = 0
        """The version up to which the watch has told everything."""

    def __len__(self) -> int:
        return len(self._held)

    def one(self, key: Key) -> EntryT | None:
        """The entry of one object."""
        held = self._held.get(key)
        return held.entry if held else None

    def all(self) -> tuple[EntryT, ...]:
        """Every entry."""
        return tuple(held.entry for held in self._held.values())

    def owned_by(self, owner: Key) -> tuple[EntryT, ...]:
        """The entries of one job, in no order: every event of a gang of thousands asks for them."""
        return tuple(self._held[key].entry for key in self._owned.get(owner, ()))

    def apply(self, change: Change) -> None:
        """Take in one line of a watch."""
        version = version_of(change.object)
        self._heard = max(self._heard, version)
        match change.type:
            case ChangeType.BOOKMARK:
                return
            case ChangeType.DELETED:
                self._remember_deletion(key_of(change.object), version)
                self._remove(key_of(change.object), version)
            case ChangeType.ADDED | ChangeType.MODIFIED:
                self._put(change.object, version)

    def wrote(self, manifest: Manifest) -> None:
        """Take in what a write of ours was answered with, unless the watch is already past it."""
        if (version := version_of(manifest)) > self._heard:
            self._put(manifest, version, is_news=False)

    def replace(self, listing: Listing, *, of: Key | None = None) -> None:
        """Take in a list of everything, or of one owner; what it lacks is gone, unless it is younger than the list."""
        version = int(listing.resource_version)
        for manifest in listing.items:
            self._put(manifest, version_of(manifest))
        present = {key_of(manifest) for manifest in listing.items}
        known = self._held.keys() if of is None else self._owned.get(of, set())
        for key in known - present:
            self._remove(key, version)
        if of is None:
            self._heard = max(self._heard, version)

    def _put(self, manifest: Manifest, version: int, *, is_news: bool = True) -> None:
        key = key_of(manifest)
        old = self._held.get(key)
        if (old and old.version >= version) or self._gone.get(key, -1) >= version:
            return
        new = _Held(version, self._owner(manifest), self._entry(manifest))
        self._held[key] = new
        self._owned.setdefault(new.owner, set()).add(key)
        if is_news and (old is None or old.entry != new.entry):
            self._changed(new.owner)

    def _remember_deletion(self, key: Key, version: int) -> None:
        self._gone.pop(key, None)
        self._gone[key] = version
        if len(self._gone) > REMEMBERED_DELETIONS:
            del self._gone[next(iter(self._gone))]

    def _remove(self, key: Key, version: int) -> None:
        held = self._held.get(key)
        if held is None or held.version > version:
            return
        del self._held[key]
        self._owned[held.owner].discard(key)
        if not self._owned[held.owner]:
            del self._owned[held.owner]
        self._changed(held.owner)


class Informer(Generic[EntryT]):
    """Fills a store by list and watch, for ever."""

    def __init__(self, cluster: Cluster, selection: Selection, store: Store[EntryT], clock: Clock) -> None:
        self._cluster = cluster
        self._selection = selection
        self._store = store
        self._clock = clock
        self._failures = 0
        self._heard_at = clock.monotonic()
        self.synced = asyncio.Event()
        """Set once the first list is in the store."""

    @property
    def silent_seconds(self) -> float:
        """How long the API server has said nothing; bookmarks count, so more than some minutes is a failure."""
        return self._clock.monotonic() - self._heard_at

    async def run(self) -> None:
        """List, watch, and list again when the watch cannot go on."""
        while True:
            try:
                await self._list_and_watch()
            except Expired:
                logger.info("The watch of %s is too old and begins anew.", self._selection.kind.plural)
            except ClusterError as failure:
                await self._pause(failure)

    async def _list_and_watch(self) -> None:
        listing = await self._cluster.list(self._selection)
        self._store.replace(listing)
        self.heard()
        self.synced.set()
        version = listing.resource_version
        while True:
            try:
                async for change in self._cluster.watch(self._selection, version):
                    self._store.apply(change)
                    self.heard()
                    version = change.object["metadata"]["resourceVersion"]
                self.heard()
            except Expired:
                raise
            except ClusterError as failure:
                # A cut watch goes on from where it was and loses nothing.
                await self._pause(failure)

    def heard(self) -> None:
        """Note that the API server has spoken."""
        self._heard_at = self._clock.monotonic()
        self._failures = 0

    async def _pause(self, failure: ClusterError) -> None:
        seconds = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(self._failures, 20))
        self._failures += 1
        logger.warning("%s cannot be watched; trying again: %s", self._selection.kind.plural, failure)
        # Spread, so that the watches of several processes do not return at once.
        await self._clock.sleep(seconds * random.uniform(0.5, 1))  # noqa: S311


def version_of(manifest: Manifest) -> int:
    """An object's resourceVersion, which the API lets us compare as a number."""
    return int(manifest["metadata"]["resourceVersion"])
