"""Versioned objects with a history that can be watched: what etcd and the watch cache are to an API server.

It knows nothing of what the objects mean; `memory_api` does.
"""

import asyncio
import copy
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from finetune_operator.cluster.port import Change, ChangeType, Expired, Kind, Listing, Manifest, Selection

Key = tuple[Kind, str, str]
"""Kind, namespace (empty for none) and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write, as the history remembers it."""

    version: int
    kind: Kind
    type: ChangeType
    object: Manifest
    previous: Manifest | None


class Store:
    """The objects by key; every write gets the next version and wakes the watches."""

    def __init__(self, history: int) -> None:
        self.version = 1
        self._objects: dict[Key, Manifest] = {}
        self._history: deque[Entry] = deque(maxlen=history)
        self._changed = asyncio.Event()
        self._generation = 0

    def find(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """A copy of the object."""
        return copy.deepcopy(self._objects.get((kind, namespace or "", name)))

    def listing(self, selection: Selection) -> Listing:
        """Copies of what matches, by namespace and name, as etcd sorts them."""
        found = sorted((key, each) for key, each in self._of_kind(selection.kind) if matches(selection, each))
        return Listing(tuple(copy.deepcopy(each) for _, each in found), str(self.version))

    def all(self) -> tuple[tuple[Key, Manifest], ...]:
        """Everything, not copied: for reading only."""
        return tuple(self._objects.items())

    def write(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Store a new state of an object; returns a copy with its new version."""
        stored = self._stamped(manifest)
        key = _key(kind, stored)
        previous = self._objects.get(key)
        self._objects[key] = stored
        self._record(kind, ChangeType.MODIFIED if previous else ChangeType.ADDED, stored, previous)
        return copy.deepcopy(stored)

    def remove(self, kind: Kind, manifest: Manifest) -> None:
        """Take an object away; its watches see it one last time, with a version of its own."""
        previous = self._objects.pop(_key(kind, manifest))
        self._record(kind, ChangeType.DELETED, self._stamped(manifest), previous)

    def cut_watches(self) -> None:
        """End every watch, as a server does that goes away or finds that one has lasted long enough."""
        self._generation += 1
        self._wake()

    async def changes(self, selection: Selection, since: int, bookmark_seconds: float) -> AsyncGenerator[Change]:
        """What was written after that version, and on: see `Cluster.watch`."""
        generation, seen = self._generation, since
        while generation == self._generation:
            changed = self._changed
            for entry in self._after(seen):
                seen = entry.version
                if (change := _seen_through(selection, entry)) is not None:
                    yield change
            if seen < self.version or changed.is_set():
                continue
            try:
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the event.
                async with asyncio.timeout(bookmark_seconds):
                    await changed.wait()
            except TimeoutError:
                yield _bookmark(selection.kind, seen)

    def _after(self, version: int) -> tuple[Entry, ...]:
        oldest = self._history[0].version if self._history else self.version + 1
        if version > self.version or version + 1 < oldest:
            raise Expired(f"too old resource version: {version} ({oldest - 1})")
        # Every write has the next version, so the place in the history is known.
        return tuple(self._history)[version + 1 - oldest :]

    def _of_kind(self, kind: Kind) -> tuple[tuple[tuple[str, str], Manifest], ...]:
        return tuple(((key[1], key[2]), each) for key, each in self._objects.items() if key[0] == kind)

    def _stamped(self, manifest: Manifest) -> Manifest:
        self.version += 1
        stamped = copy.deepcopy(manifest)
        stamped["metadata"]["resourceVersion"] = str(self.version)
        return stamped

    def _record(self, kind: Kind, change: ChangeType, manifest: Manifest, previous: Manifest | None) -> None:
        entry = Entry(version=self.version, kind=kind, type=change, object=manifest, previous=previous)
        self._history.append(entry)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def matches(selection: Selection, manifest: Manifest) -> bool:
    """Whether an object of the right kind is in the namespace and has the labels."""
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    return selection.namespace in {None, metadata.get("namespace")} and all(
        key in labels and value in {None, labels[key]} for key, value in selection.labels.items()
    )


def _key(kind: Kind, manifest: Manifest) -> Key:
    return kind, manifest["metadata"].get("namespace") or "", manifest["metadata"]["name"]


def _seen_through(selection: Selection, entry: Entry) -> Change | None:
    """How a watch with a selection tells an entry: an object that leaves the selection is deleted for it."""
    if entry.kind != selection.kind:
        return None
    is_in = entry.type is not ChangeType.DELETED and matches(selection, entry.object)
    was_in = entry.previous is not None and matches(selection, entry.previous)
    shown = copy.deepcopy(entry.object)
    match was_in, is_in:
        case False, True:
            return Change(ChangeType.ADDED, shown)
        case True, True:
            return Change(ChangeType.MODIFIED, shown)
        case True, False:
            return Change(ChangeType.DELETED, shown)
        case _:
            return None


def _bookmark(kind: Kind, version: int) -> Change:
    mark = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"resourceVersion": str(version)}}
    return Change(ChangeType.BOOKMARK, mark)
