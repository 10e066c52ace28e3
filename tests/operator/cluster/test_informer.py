import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from finetune_operator.cluster.clock import SystemClock
from finetune_operator.cluster.informer import Informer, Key, Store, key_of
from finetune_operator.cluster.port import (
    CONFIG_MAP,
    Change,
    ChangeType,
    Cluster,
    Kind,
    Listing,
    Manifest,
    Selection,
    Unavailable,
)
from finetune_sandbox.memory_api import MemoryApi

from tests.operator.cluster.suite import config_map
from tests.operator.cluster.worlds import idle, until

A = Key("default", "a")


def thing(name: str = "a", *, version: int, value: str = "") -> Manifest:
    """An object of a certain version."""
    return {"metadata": {"namespace": "default", "name": name, "resourceVersion": str(version)}, "value": value}


def store(changed: list[Key] | None = None) -> Store[str]:
    """A store of values."""
    heard: list[Key] = [] if changed is None else changed
    return Store(entry=lambda manifest: manifest["value"], owner=key_of, changed=heard.append)


def test_the_watch_tells_of_a_change() -> None:
    changed: list[Key] = []
    held = store(changed)
    held.apply(Change(ChangeType.ADDED, thing(version=1, value="x")))
    assert (held.one(A), changed) == ("x", [A])


def test_a_change_that_decisions_do_not_see_is_no_news() -> None:
    changed: list[Key] = []
    held = store(changed)
    held.apply(Change(ChangeType.ADDED, thing(version=1, value="x")))
    held.apply(Change(ChangeType.MODIFIED, thing(version=2, value="x")))
    assert changed == [A]


def test_our_own_write_is_known_at_once_and_is_no_news() -> None:
    changed: list[Key] = []
    held = store(changed)
    held.wrote(thing(version=5, value="ours"))
    held.apply(Change(ChangeType.ADDED, thing(version=5, value="ours")))
    assert (held.one(A), changed) == ("ours", [])


def test_an_older_word_does_not_undo_our_write() -> None:
    held = store()
    held.wrote(thing(version=5, value="ours"))
    held.apply(Change(ChangeType.MODIFIED, thing(version=4, value="old")))
    assert held.one(A) == "ours"


def test_an_answer_that_the_watch_has_overtaken_raises_nobody_from_the_dead() -> None:
    held = store()
    held.apply(Change(ChangeType.DELETED, thing(version=7)))
    held.wrote(thing(version=5, value="ours"))
    assert held.one(A) is None


def test_a_list_that_a_deletion_has_overtaken_raises_nobody_from_the_dead() -> None:
    held = store()
    held.apply(Change(ChangeType.ADDED, thing(version=1)))
    held.apply(Change(ChangeType.DELETED, thing(version=7)))
    held.replace(Listing((thing(version=5),), "6"))
    assert held.one(A) is None


def test_a_namesake_of_what_was_deleted_is_taken_in() -> None:
    held = store()
    held.apply(Change(ChangeType.DELETED, thing(version=7)))
    held.replace(Listing((thing(version=8, value="new"),), "9"))
    assert held.one(A) == "new"


def test_a_list_purges_what_it_lacks() -> None:
    changed: list[Key] = []
    held = store(changed)
    held.apply(Change(ChangeType.ADDED, thing(version=1)))
    held.replace(Listing((), "9"))
    assert (len(held), changed) == (0, [A, A])


def test_a_list_does_not_purge_what_is_younger_than_itself() -> None:
    held = store()
    held.wrote(thing(version=12, value="new"))
    held.replace(Listing((), "9"))
    assert held.one(A) == "new"


def test_a_list_of_one_job_leaves_other_jobs_alone() -> None:
    held = store()
    held.apply(Change(ChangeType.ADDED, thing("a", version=1)))
    held.apply(Change(ChangeType.ADDED, thing("b", version=2, value="kept")))
    held.replace(Listing((), "9"), of=A)
    assert held.all() == ("kept",)


def test_a_list_of_one_job_makes_no_write_to_another_look_old() -> None:
    held = store()
    held.replace(Listing((), "9"), of=A)
    held.wrote(thing("b", version=8, value="ours"))
    assert held.all() == ("ours",)


def test_entries_are_found_by_their_owner() -> None:
    owner = Key("default", "job")
    held: Store[str] = Store(entry=lambda m: m["metadata"]["name"], owner=lambda _: owner, changed=lambda _: None)
    for number, name in enumerate(("a-1-1", "a-1-0")):
        held.apply(Change(ChangeType.ADDED, thing(name, version=number + 1)))
    assert sorted(held.owned_by(owner)) == ["a-1-0", "a-1-1"]


class CutOff(MemoryApi):
    """An API whose lists and watches can fail, and which counts its lists."""

    lists = 0
    is_down = False

    async def list(self, selection: Selection) -> Listing:
        self.lists += 1
        if self.is_down:
            raise Unavailable("down")
        return await super().list(selection)


@asynccontextmanager
async def informed(cluster: Cluster, kind: Kind = CONFIG_MAP) -> AsyncIterator[tuple[Informer[str], Store[str]]]:
    held: Store[str] = Store(entry=lambda m: m["metadata"]["name"], owner=key_of, changed=lambda _: None)
    informer = Informer(cluster, Selection(kind=kind), held, SystemClock())
    task = asyncio.create_task(informer.run())
    yield informer, held
    task.cancel()
    await asyncio.wait({task})


async def test_an_informer_knows_what_was_there_and_what_comes() -> None:
    cluster = MemoryApi()
    await cluster.create(CONFIG_MAP, config_map("default", "before"))
    async with informed(cluster) as (informer, held):
        await informer.synced.wait()
        await cluster.create(CONFIG_MAP, config_map("default", "later"))
        await until(lambda: held.all() == ("before", "later"))


async def test_a_cut_watch_goes_on_without_a_new_list() -> None:
    cluster = CutOff()
    async with informed(cluster) as (informer, held):
        await informer.synced.wait()
        await idle()
        cluster.store.cut_watches()
        await cluster.create(CONFIG_MAP, config_map("default", "missed"))
        await until(lambda: held.all() == ("missed",))
    assert cluster.lists == 1


async def test_what_was_deleted_while_the_watch_was_too_old_is_purged() -> None:
    cluster = MemoryApi(history=3)
    await cluster.create(CONFIG_MAP, config_map("default", "doomed"))
    async with informed(cluster) as (informer, held):
        await informer.synced.wait()
        await idle()
        cluster.store.cut_watches()
        await cluster.delete(CONFIG_MAP, "default", "doomed")
        for number in range(8):
            await cluster.create(CONFIG_MAP, config_map("default", f"n{number}"))
        await until(lambda: "doomed" not in held.all() and len(held) == 8)


async def test_an_api_that_is_down_at_first_is_listed_when_it_is_back() -> None:
    cluster = CutOff()
    cluster.is_down = True
    async with informed(cluster) as (informer, _):
        await until(lambda: cluster.lists > 0)
        cluster.is_down = False
        async with asyncio.timeout(20):
            await informer.synced.wait()
