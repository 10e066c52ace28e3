import asyncio
from dataclasses import replace
from typing import Any

import pytest
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.build.attempt import Attempt
from finetune_operator.build.pods import pod
from finetune_operator.cluster.carry_out import Done, Executor, Stale, merge_patch
from finetune_operator.cluster.clock import SystemClock
from finetune_operator.cluster.engine import Silent
from finetune_operator.cluster.events import Recorder
from finetune_operator.cluster.informer import Key, Store, key_of
from finetune_operator.cluster.observe import Findings, job_of_pod, parsed, pod_store_entry
from finetune_operator.cluster.port import EVENT, JOB, POD, Kind, Manifest, Refused, Selection, Unavailable
from finetune_operator.config import Config
from finetune_operator.core.decision import Decision, Deletion, EventNote, EventType
from finetune_operator.core.observed import Pod
from finetune_sandbox.memory_api import MemoryApi

from tests.operator.cluster.worlds import ManualClock, job

CONFIG = Config(trainer_image="trainer:dev")
A = Key("default", "a")


class Quota(MemoryApi):
    """An API that refuses all pods."""

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        if kind == POD:
            raise Refused("exceeded quota: gpus")
        return await super().create(kind, manifest)


class Crowded(MemoryApi):
    """An API that knows how many pods it was asked for, and for how many at once; it has room for some."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.asked = 0
        self.under_way = 0
        self.most = 0

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        if kind != POD:
            return await super().create(kind, manifest)
        self.asked += 1
        has_room = self.asked <= self.room
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if not has_room:
            raise Refused("exceeded quota: gpus")
        return await super().create(kind, manifest)


class Webhook(MemoryApi):
    """An API that has to ask a webhook about pods, which does not answer."""

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        if kind == POD:
            raise Unavailable('Internal error occurred: failed calling webhook "pods.example.com"')
        return await super().create(kind, manifest)


class Bench:
    """An executor and what it works on."""

    def __init__(self, cluster: MemoryApi) -> None:
        self.cluster = cluster
        self.pods: Store[Pod] = Store(entry=pod_store_entry, owner=job_of_pod, changed=lambda _: None)
        self.jobs: Store[Manifest] = Store(entry=lambda m: m, owner=key_of, changed=lambda _: None)
        recorder = Recorder(cluster, SystemClock(), instance="test")
        self.clock = ManualClock()
        self.executor = Executor(cluster, self.jobs, self.pods, clock=self.clock, recorder=recorder, meter=Silent())
        self.manifest: Manifest = {}

    async def begin(self) -> FineTuneJob:
        self.manifest = await self.cluster.create(JOB, job())
        return parsed(self.manifest)

    async def carry_out(self, decision: Decision) -> Done:
        done = await self.executor.carry_out(self.manifest, parsed(self.manifest), decision)
        self.manifest = await self.cluster.get(JOB, *A) or {}
        return done

    async def names(self, kind: Kind) -> list[str]:
        return [item["metadata"]["name"] for item in (await self.cluster.list(Selection(kind=kind))).items]


@pytest.fixture
def bench() -> Bench:
    return Bench(MemoryApi())


def status(**fields: Any) -> FineTuneJobStatus:
    return FineTuneJobStatus(attempt=1, attempt_nodes=1, **fields)


async def test_a_status_that_does_not_differ_is_not_written(bench: Bench) -> None:
    await bench.begin()
    await bench.carry_out(Decision(status=status()))
    written = bench.manifest
    await bench.carry_out(Decision(status=status()))
    assert bench.manifest == written


async def test_nothing_is_created_for_a_job_that_has_changed_meanwhile(bench: Bench) -> None:
    found = await bench.begin()
    await bench.cluster.replace(JOB, bench.manifest | {"spec": bench.manifest["spec"] | {"suspend": True}})
    with pytest.raises(Stale):
        await bench.carry_out(Decision(status=status(), create=(pod(found, CONFIG, Attempt(number=1), 0),)))
    assert await bench.names(POD) == []


async def test_a_pod_of_ours_that_is_there_already_is_done(bench: Bench) -> None:
    found = await bench.begin()
    wanted = pod(found, CONFIG, Attempt(number=1), 0)
    await bench.cluster.create(POD, wanted)
    assert await bench.carry_out(Decision(status=found.status, create=(wanted,))) == Done()


async def test_a_created_pod_is_known_before_the_watch_tells(bench: Bench) -> None:
    found = await bench.begin()
    await bench.carry_out(Decision(status=found.status, create=(pod(found, CONFIG, Attempt(number=1), 0),)))
    assert [each.name for each in bench.pods.owned_by(A)] == ["a-1-0"]


async def test_a_name_that_somebody_else_holds_is_found(bench: Bench) -> None:
    found = await bench.begin()
    wanted = pod(found, CONFIG, Attempt(number=1), 0)
    theirs = wanted | {"metadata": {"name": "a-1-0", "namespace": "default"}}
    await bench.cluster.create(POD, theirs)
    done = await bench.carry_out(Decision(status=found.status, create=(wanted,)))
    assert done.findings == Findings(taken=("Pod a-1-0",))


async def test_a_pod_of_ours_that_is_going_is_waited_for(bench: Bench) -> None:
    found = await bench.begin()
    wanted = pod(found, CONFIG, Attempt(number=1), 0)
    await bench.cluster.create(POD, wanted)
    await bench.cluster.bind("default", "a-1-0", "node")
    await bench.cluster.delete(POD, "default", "a-1-0")
    done = await bench.carry_out(Decision(status=found.status, create=(wanted,)))
    assert done == Done(waits_for_names=True)


def of_an_earlier_job(manifest: Manifest, **metadata: Any) -> Manifest:
    """The object as a job of the same name has left it."""
    owner = manifest["metadata"]["ownerReferences"][0] | {"uid": "earlier"}
    return manifest | {"metadata": manifest["metadata"] | {"uid": "theirs", "ownerReferences": [owner], **metadata}}


@pytest.mark.parametrize("metadata", [{}, {"deletionTimestamp": "2026-11-21T00:00:00Z"}], ids=["stays-yet", "goes"])
async def test_a_pod_of_an_earlier_job_of_this_name_is_going(bench: Bench, metadata: dict[str, str]) -> None:
    found = await bench.begin()
    wanted = pod(found, CONFIG, Attempt(number=1), 0)
    bench.cluster.store.write(POD, of_an_earlier_job(wanted, **metadata))
    done = await bench.carry_out(Decision(status=found.status, create=(wanted,)))
    assert done == Done(findings=Findings(going=("Pod a-1-0",)))


async def test_a_pod_of_another_jobs_stays(bench: Bench) -> None:
    found = await bench.begin()
    wanted = pod(found, CONFIG, Attempt(number=1), 0)
    theirs = of_an_earlier_job(wanted)
    theirs["metadata"]["ownerReferences"][0]["name"] = "b"
    bench.cluster.store.write(POD, theirs)
    done = await bench.carry_out(Decision(status=found.status, create=(wanted,)))
    assert done.findings == Findings(taken=("Pod a-1-0",))


async def test_a_refusal_is_found_and_does_not_raise() -> None:
    bench = Bench(Quota())
    found = await bench.begin()
    done = await bench.carry_out(Decision(status=found.status, create=(pod(found, CONFIG, Attempt(number=1), 0),)))
    assert done.findings == Findings(refusal="exceeded quota: gpus")


@pytest.mark.parametrize(
    ("room", "asked", "most"),
    [
        pytest.param(100, 100, 32, id="room for all: all are made"),
        pytest.param(40, 64, 32, id="a quota: no more is asked for than refused at first"),
    ],
)
async def test_a_large_gang_comes_in_batches(room: int, asked: int, most: int) -> None:
    cluster = Crowded(room)
    bench = Bench(cluster)
    found = await bench.begin()
    gang = tuple(pod(found, CONFIG, Attempt(number=1), rank) for rank in range(100))
    await bench.carry_out(Decision(status=found.status, create=gang))
    assert (cluster.asked, cluster.most, len(await bench.names(POD))) == (asked, most, room)


async def test_a_large_gang_is_deleted_whole(bench: Bench) -> None:
    found = await bench.begin()
    gang = tuple(pod(found, CONFIG, Attempt(number=1), rank) for rank in range(70))
    await bench.carry_out(Decision(status=found.status, create=gang))
    doomed = tuple(Deletion(kind="Pod", name=each.name, uid=each.uid) for each in bench.pods.owned_by(A))
    await bench.carry_out(Decision(status=found.status, delete=doomed))
    assert await bench.names(POD) == []


async def test_a_pod_that_could_not_be_created_at_once_is_tried_again_without_a_word() -> None:
    bench = Bench(Webhook())
    found = await bench.begin()
    young = status(attempt_started_at=bench.clock.now())
    await bench.clock.advance(4)
    with pytest.raises(Unavailable, match="failed calling webhook"):
        await bench.carry_out(Decision(status=young, create=(pod(found, CONFIG, Attempt(number=1), 0),)))


async def test_an_outage_that_lasts_is_found_and_does_not_raise() -> None:
    bench = Bench(Webhook())
    found = await bench.begin()
    old = status(attempt_started_at=bench.clock.now())
    await bench.clock.advance(5)
    done = await bench.carry_out(Decision(status=old, create=(pod(found, CONFIG, Attempt(number=1), 0),)))
    assert done.findings == Findings(refusal='Internal error occurred: failed calling webhook "pods.example.com"')


async def test_a_pod_does_not_start_with_a_config_map_of_somebody_else(bench: Bench) -> None:
    found = await bench.begin()
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a-1", "namespace": "default"}}
    await bench.cluster.create(Kind(group="", version="v1", plural="configmaps", kind="ConfigMap"), theirs)
    create = (theirs, pod(found, CONFIG, Attempt(number=1), 0))
    done = await bench.carry_out(Decision(status=found.status, create=create))
    assert (done.findings.taken, await bench.names(POD)) == (("ConfigMap a-1",), [])


async def test_a_namesake_of_a_pod_to_delete_survives(bench: Bench) -> None:
    found = await bench.begin()
    await bench.cluster.create(POD, pod(found, CONFIG, Attempt(number=1), 0))
    await bench.carry_out(Decision(status=found.status, delete=(Deletion(kind="Pod", name="a-1-0", uid="another"),)))
    assert await bench.names(POD) == ["a-1-0"]


async def test_an_event_told_twice_is_one_event(bench: Bench) -> None:
    found = await bench.begin()
    note = EventNote(type=EventType.WARNING, reason="Preempted", message="Taken.")
    decision = Decision(status=found.status, events=(note,))
    await bench.carry_out(decision)
    await bench.carry_out(decision)
    assert len(await bench.names(EVENT)) == 1


async def test_the_same_words_about_another_generation_are_another_event(bench: Bench) -> None:
    found = await bench.begin()
    decision = Decision(
        status=found.status, events=(EventNote(type=EventType.NORMAL, reason="Suspended", message="."),)
    )
    await bench.carry_out(decision)
    bench.manifest = bench.manifest | {"metadata": bench.manifest["metadata"] | {"generation": 2}}
    await bench.carry_out(replace(decision))
    assert len(await bench.names(EVENT)) == 2


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="equal needs nothing"),
        pytest.param({}, {"a": 1}, {"a": 1}, id="a new field is set"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"b": None}, id="a field that went is null"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": None}}, id="objects are merged"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, {"a": [1]}, id="lists are replaced"),
        pytest.param({"a": 3}, {"a": 3.0}, {}, id="a number is a number"),
    ],
)
def test_the_merge_patch_says_what_differs(old: Manifest, new: Manifest, patch: Manifest) -> None:
    assert merge_patch(old, new) == patch
