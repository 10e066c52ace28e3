"""The engine over the API server in memory: jobs go in, pods and statuses come out."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from finetune_operator.build.attempt import token
from finetune_operator.cluster.port import (
    CONFIG_MAP,
    EVENT,
    JOB,
    POD,
    SERVICE,
    Kind,
    Manifest,
    Refused,
    Selection,
    Unavailable,
)
from finetune_sandbox.memory_api import MemoryApi

from tests.operator.cluster.worlds import World, job, until


@pytest.fixture
def world() -> World[MemoryApi]:
    return World(MemoryApi())


async def test_a_new_job_gets_its_config_map_and_its_pod(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
    assert await world.names(CONFIG_MAP) == ["a-1"]


async def test_a_gang_gets_a_service_and_all_its_pods(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job(compute={"nodes": 3}))
    async with world.at_work():
        await world.has_pods("a-1-0", "a-1-1", "a-1-2")
    assert await world.names(SERVICE) == ["a"]


async def test_a_finished_trainer_makes_a_finished_job(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.ends("a-1-0", kind="finished", code=0)
        await world.reaches(phase="Succeeded")


async def test_a_pod_that_vanishes_is_followed_by_the_next_attempt(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(attemptCreated=True)
        await world.api.delete(POD, "default", "a-1-0", grace_seconds=0)
        await world.has_pods("a-2-0")
        assert (await world.status())["restarts"]["preemptions"] == 1


async def test_a_preempted_pod_is_followed_by_the_next_attempt(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(attemptCreated=True)
        await world.ends("a-1-0", kind="preempted", code=85)
        await world.has_pods("a-2-0")


async def test_what_was_lost_while_nobody_looked_is_made_good_after_a_restart(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(attemptCreated=True)
    await world.api.delete(POD, "default", "a-1-0", grace_seconds=0)
    async with world.at_work():
        await world.has_pods("a-2-0")


async def test_a_restart_of_the_operator_writes_nothing(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(phase="Running", attemptCreated=True)
    before = await world.api.list(Selection(kind=JOB))
    async with world.at_work() as engine:
        await until(lambda: engine.pod_informer.synced.is_set() and not len(engine.queue))
        await until(lambda: engine.queue.oldest_seconds == 0)
    assert (await world.api.list(Selection(kind=JOB))).items == before.items


async def test_the_trainers_word_is_in_the_status(world: World[MemoryApi]) -> None:
    created = await world.api.create(JOB, job())
    word = {
        "attempt": 1,
        "token": token(created["metadata"]["uid"], 1),
        "state": "training",
        "step": 7,
        "maxSteps": 10,
        "observedAt": datetime.now(UTC).isoformat(),
    }
    world.trainers.words["http://127.0.0.9:8471/progress"] = json.dumps(word).encode()
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(phase="Running")
    assert (await world.status())["progress"]["step"] == 7


async def test_the_last_word_of_a_pod_that_is_gone_before_anybody_looks_is_heard(world: World[MemoryApi]) -> None:
    created = await world.api.create(JOB, job())
    checkpoint = {"step": 45, "digest": "d", "sizeBytes": 1, "committedAt": "2026-11-21T00:00:00Z"}
    progress = {
        "attempt": 1,
        "token": token(created["metadata"]["uid"], 1),
        "step": 45,
        "checkpoint": checkpoint,
        "observedAt": "2026-11-21T00:00:00Z",
    }
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(attemptCreated=True)
        await world.ends("a-1-0", kind="preempted", code=85, progress=progress)
        await world.api.delete(POD, "default", "a-1-0", grace_seconds=0)
        await world.has_pods("a-2-0")
    assert (await world.status())["checkpoint"]["step"] == 45


async def test_a_last_word_dated_in_the_future_does_not_drown_the_next_attempt(world: World[MemoryApi]) -> None:
    created = await world.api.create(JOB, job())
    uid, at = created["metadata"]["uid"], datetime.now(UTC)
    last = {"attempt": 1, "token": token(uid, 1), "step": 5, "observedAt": (at + timedelta(days=1)).isoformat()}
    word = {"attempt": 2, "token": token(uid, 2), "state": "training", "step": 7, "observedAt": at.isoformat()}
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(attemptCreated=True)
        await world.ends("a-1-0", kind="preempted", code=85, progress=last)
        await world.has_pods("a-2-0")
        world.trainers.words["http://127.0.0.9:8471/progress"] = json.dumps(word).encode()
        await world.runs("a-2-0")
        await world.reaches(phase="Running")
    assert (await world.status())["progress"]["step"] == 7


async def test_the_word_of_a_zombie_is_not_heard(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    word = {"attempt": 1, "token": "another", "state": "training", "step": 7, "observedAt": "2026-11-21T00:00:00Z"}
    world.trainers.words["http://127.0.0.9:8471/progress"] = json.dumps(word).encode()
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(attemptCreated=True)
    assert "progress" not in await world.status()


async def test_a_name_of_ours_that_somebody_holds_is_said_and_nothing_of_theirs_is_touched(
    world: World[MemoryApi],
) -> None:
    theirs: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a-1-0", "namespace": "default"},
        "spec": {"containers": [{"name": "theirs", "image": "none"}]},
    }
    created = await world.api.create(POD, theirs)
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.gives("NameTaken")
    found = await world.api.get(POD, "default", "a-1-0")
    assert found is not None
    assert found["metadata"]["uid"] == created["metadata"]["uid"]


async def test_a_job_created_anew_waits_until_the_pod_of_the_one_before_has_gone(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
    await world.api.delete(JOB, "default", "a")
    before = await world.api.get(POD, "default", "a-1-0")
    assert before is not None
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.gives("WaitingForNames")
        await world.api.delete(POD, "default", "a-1-0", grace_seconds=0)
        await world.reaches(attemptCreated=True)
    after = await world.api.get(POD, "default", "a-1-0")
    assert after is not None
    assert (after["metadata"]["uid"] != before["metadata"]["uid"], await world.attempts()) == (True, [1])


class Quota(MemoryApi):
    """An API that refuses pods for a while."""

    is_spent = True
    refusals = 0

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        if kind == POD and self.is_spent:
            self.refusals += 1
            raise Refused('pods "a-1-0" is forbidden: exceeded quota: gpus')
        return await super().create(kind, manifest)


async def test_a_refusal_is_said_once_and_not_hammered() -> None:
    world = World(api := Quota())
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.gives("CreationRefused")
        assert api.refusals == 1


class Webhook(MemoryApi):
    """An API whose webhook for pods is down for good."""

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        if kind == POD:
            raise Unavailable('Internal error occurred: failed calling webhook "pods.example.com"')
        return await super().create(kind, manifest)


async def test_a_webhook_that_is_down_is_told_in_the_status_and_costs_no_attempt() -> None:
    world = World(api := Webhook())
    await api.create(JOB, job())
    long_ago = (datetime.now(UTC) - timedelta(seconds=59)).isoformat()
    begun = {"phase": "Pending", "attempt": 1, "attemptNodes": 1, "attemptGeneration": 1, "attemptStartedAt": long_ago}
    await api.patch_status(JOB, "default", "a", begun)
    async with world.at_work():
        await world.gives("CreationRefused")
    ready = next(c for c in (await world.status())["conditions"] if c["type"] == "Ready")
    assert ready["message"] == (
        'The pods cannot be created: Internal error occurred: failed calling webhook "pods.example.com". '
        "The job tries again by itself."
    )
    assert await world.attempts() == [1]


async def test_a_job_suspended_while_it_waits_gives_back_what_it_had(world: World[MemoryApi]) -> None:
    created = await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        found = await world.api.get(JOB, "default", "a")
        assert found is not None
        await world.api.replace(JOB, found | {"spec": created["spec"] | {"suspend": True}})
        await world.reaches(phase="Suspended")
    assert await world.names() == []


async def test_a_deleted_job_is_forgotten(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work() as engine:
        await world.has_pods("a-1-0")
        await world.api.delete(JOB, "default", "a")
        await until(lambda: not len(engine.jobs) and not len(engine.pods))


async def test_a_job_that_does_not_fit_the_model_is_told_so_and_stops_no_other(world: World[MemoryApi]) -> None:
    odd = await world.api.create(JOB, job("odd"))
    world.api.store.write(JOB, odd | {"spec": {"task": "of an older version"}})
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")

        async def told() -> bool:
            return await world.reason("odd") == "InvalidSpec"

        await until(told, what="the reason")
    assert (await world.status("odd"))["phase"] == "Failed"


async def test_a_job_that_succeeded_is_left_so_when_it_can_no_longer_be_read(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.ends("a-1-0", kind="finished", code=0)
        await world.reaches(phase="Succeeded")
    done = await world.api.get(JOB, "default", "a")
    assert done is not None
    world.api.store.write(JOB, done | {"spec": {"task": "of an older version"}})
    await world.api.create(JOB, job("b"))
    async with world.at_work():
        await world.has_pods("b-1-0")
    assert await world.status() == done["status"]


async def test_a_job_that_can_be_read_again_runs(world: World[MemoryApi]) -> None:
    good = await world.api.create(JOB, job())
    world.api.store.write(JOB, good | {"spec": {"task": "of an older version"}})
    async with world.at_work():
        await world.gives("InvalidSpec")
        odd = await world.api.get(JOB, "default", "a")
        assert odd is not None
        world.api.store.write(JOB, odd | {"spec": good["spec"]})
        await world.has_pods("a-1-0")


async def test_events_of_one_second_sort_by_name_as_they_came(world: World[MemoryApi]) -> None:
    await world.api.create(JOB, job())
    async with world.at_work():
        await world.has_pods("a-1-0")
        await world.runs("a-1-0")
        await world.reaches(attemptCreated=True)
        await world.ends("a-1-0", kind="preempted", code=85)
        await world.has_pods("a-2-0")
        await world.runs("a-2-0")
        await world.ends("a-2-0", kind="finished", code=0)
        await world.reaches(phase="Succeeded")
    events = (await world.api.list(Selection(kind=EVENT, namespace="default"))).items
    came = sorted(events, key=lambda each: int(each["metadata"]["resourceVersion"]))
    names = [each["metadata"]["name"] for each in came]
    assert (len(names) > 3, names) == (True, sorted(names))
