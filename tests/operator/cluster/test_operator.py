"""The operator as it is shipped: a process with only the rights it needs, on a real API server."""

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from finetune_operator.build.attempt import token
from finetune_operator.cluster.port import EVENT, JOB, LEASE, Selection
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.real_api import RealApi
from finetune_trainer.pod.ports import free_port

from tests.operator.cluster.faulty import FaultyProxy, held, request
from tests.operator.cluster.operators import NAME, Operators, installed_rights, operators_of
from tests.operator.cluster.worlds import World, job, until

pytestmark = pytest.mark.control_plane


@pytest.fixture
def operators(tmp_path: Path, namespace: str) -> Iterator[Operators]:
    with operators_of(tmp_path, namespace) as started:
        yield started


@pytest.fixture
def rights(control_plane: ControlPlane, namespace: str) -> Iterator[Path]:
    with installed_rights(control_plane, namespace, watched=namespace) as kubeconfig:
        yield kubeconfig


async def test_with_its_few_rights_a_whole_life_leaves_the_job_as_its_author_wrote_it(
    control_plane: ControlPlane, world: World[RealApi], operators: Operators, rights: Path
) -> None:
    text = yaml.safe_dump(job(namespace=world.namespace))
    operators.start(rights)
    await asyncio.to_thread(control_plane.kubectl, "apply", "-f", "-", stdin=text)
    await world.has_pods("a-1-0")
    await world.runs("a-1-0")
    await world.reaches(attemptCreated=True)
    await world.ends("a-1-0", kind="preempted", code=85)
    await world.has_pods("a-2-0")
    await world.runs("a-2-0")
    await world.ends("a-2-0", kind="finished", code=0)
    await world.reaches(phase="Succeeded")
    wait = ("wait", "--for=condition=Complete", "ftj/a", "-n", world.namespace, "--timeout=5s")
    assert "condition met" in await asyncio.to_thread(control_plane.kubectl, *wait)
    found = await world.api.get(JOB, world.namespace, "a")
    assert found is not None
    metadata = found["metadata"]
    ours = [each["subresource"] for each in metadata["managedFields"] if each["manager"] == "finetune-operator"]
    left = (metadata.get("finalizers"), list(metadata["annotations"]), ours)
    assert left == (None, ["kubectl.kubernetes.io/last-applied-configuration"], ["status"])
    assert await asyncio.to_thread(control_plane.kubectl, "diff", "-f", "-", stdin=text) == ""
    assert [line for line in operators.log() if line["level"] in {"warning", "error"}] == []


async def test_an_operator_killed_between_status_and_pods_is_followed_by_one_that_creates_them(
    control_plane: ControlPlane, world: World[RealApi], operators: Operators, proxy: FaultyProxy, tmp_path: Path
) -> None:
    posting = proxy.inject(request("POST", "/pods"), held(asyncio.Event()))
    first = operators.start(proxy.kubeconfig(tmp_path), lease="first")
    await world.api.create(JOB, job(namespace=world.namespace, compute={"nodes": 2}))
    async with asyncio.timeout(20):
        await posting.met.wait()
    first.kill()
    assert (await world.status())["attempt"] == 1
    operators.start(control_plane.kubeconfig, lease="second")
    await world.has_pods("a-1-0", "a-1-1")
    assert (await world.names(), await world.attempts()) == (["a-1-0", "a-1-1"], [1])


async def test_a_leader_that_has_lost_its_lease_ends_at_once(
    control_plane: ControlPlane, world: World[RealApi], operators: Operators
) -> None:
    process = operators.start(control_plane.kubeconfig)

    async def stolen() -> bool:
        lease = await world.api.get(LEASE, world.namespace, NAME)
        if lease is None or not lease["spec"]["holderIdentity"]:
            return False
        await world.api.replace(LEASE, lease | {"spec": lease["spec"] | {"holderIdentity": "thief"}})
        return True

    await until(stolen, what="a lease to steal")
    assert await asyncio.to_thread(process.wait, 20) == 70


async def test_a_stopped_leader_hands_over_to_the_one_that_stands_by(
    control_plane: ControlPlane, world: World[RealApi], operators: Operators
) -> None:
    first = operators.start(control_plane.kubeconfig)
    await until(lambda: any("leads" in line["message"] for line in operators.log(0)), what="a leader")
    operators.start(control_plane.kubeconfig)
    await world.api.create(JOB, job(namespace=world.namespace))
    await world.has_pods("a-1-0")
    first.send_signal(signal.SIGTERM)
    ended = await asyncio.to_thread(first.wait, 20)
    await until(lambda: any("leads" in line["message"] for line in operators.log(1)), what="a second leader")
    await world.api.create(JOB, job("b", namespace=world.namespace))
    await world.has_pods("a-1-0", "b-1-0")
    assert ended == 0


def answered(port: int, path: str) -> str | None:
    """What the operator answers, None while it does not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, OSError):
        return None


async def test_a_life_is_told_in_probes_in_metrics_and_in_events_that_describe_shows(
    control_plane: ControlPlane, world: World[RealApi], operators: Operators
) -> None:
    port = free_port()
    operators.start(control_plane.kubeconfig, port=port)
    await world.api.create(JOB, job(namespace=world.namespace))
    await world.has_pods("a-1-0")
    answers = [await asyncio.to_thread(answered, port, path) for path in ("/healthz", "/readyz")]
    metrics = await asyncio.to_thread(answered, port, "/metrics") or ""
    assert (answers, 'finetune_jobs{phase="Pending"} 1.0' in metrics) == (["ok", "ok"], True)
    await world.runs("a-1-0")
    await world.reaches(attemptCreated=True)
    await world.ends("a-1-0", kind="preempted", code=85)

    async def told() -> bool:
        events = (await world.api.list(Selection(kind=EVENT, namespace=world.namespace))).items
        return "Preempted" in [each["reason"] for each in events if each["involvedObject"]["kind"] == "FineTuneJob"]

    await until(told, what="the event")
    described = await asyncio.to_thread(control_plane.kubectl, "describe", "ftj", "a", "-n", world.namespace)
    assert "Preempted" in described.partition("Events:")[2]


async def test_get_shows_within_a_hundred_columns_what_a_running_job_does(
    control_plane: ControlPlane, world: World[RealApi]
) -> None:
    await world.api.create(JOB, job(namespace=world.namespace))
    async with world.at_work():
        await world.has_pods("a-1-0")
        found = await world.api.get(JOB, world.namespace, "a")
        assert found is not None
        word = {
            "attempt": 1,
            "token": token(found["metadata"]["uid"], 1),
            "state": "training",
            "step": 50,
            "maxSteps": 200,
            "checkpoint": {"step": 40, "digest": "d", "sizeBytes": 1, "committedAt": "2026-11-21T00:00:00Z"},
            "observedAt": "2026-11-21T00:00:00Z",
        }
        world.trainers.words["http://127.0.0.9:8471/progress"] = json.dumps(word).encode()
        await world.gives("Unschedulable")  # Else the scheduler, which finds no node, may say so after the binding.
        await world.runs("a-1-0")
        await world.reaches(phase="Running")
        printed = await asyncio.to_thread(control_plane.kubectl, "get", "ftj", "-n", world.namespace)
    header, row = printed.splitlines()
    assert header.split() == ["NAME", "PHASE", "REASON", "STEP", "PROGRESS", "CHECKPOINT", "RESTARTS", "AGE"]
    assert row.split()[:-1] == ["a", "Running", "Training", "50", "25%", "40", "0"]
    assert max(map(len, (header, row))) <= 100
