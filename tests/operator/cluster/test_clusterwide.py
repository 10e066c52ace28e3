"""The operator over the whole cluster, as a process, with the rights that the chart gives it; and its watch of jobs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from finetune_operator.cluster.port import CONFIG_MAP, JOB
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.real_api import RealApi, real_api

from tests.operator.cluster.faulty import FaultyProxy, Forward, answering, telling
from tests.operator.cluster.operators import Operators, installed_rights, operators_of
from tests.operator.cluster.worlds import World, job, until

pytestmark = pytest.mark.control_plane
LACKS_A_RIGHT = "forbidden: User "
"""Not every 403 is about rights: a namespace that is going, for example an earlier test's, takes nothing new either."""


@pytest.fixture
def operators(tmp_path: Path, namespace: str) -> Iterator[Operators]:
    with operators_of(tmp_path, namespace, everywhere=True) as started:
        yield started


@pytest.fixture
def rights(control_plane: ControlPlane, namespace: str) -> Iterator[Path]:
    with installed_rights(control_plane, namespace) as kubeconfig:
        yield kubeconfig


@pytest.fixture
async def worlds(control_plane: ControlPlane, namespace: str) -> AsyncIterator[tuple[World[RealApi], World[RealApi]]]:
    """Two teams' namespaces, neither of them the operator's own."""
    names = [await asyncio.to_thread(control_plane.namespace, f"{namespace}-{team}") for team in ("ada", "bob")]
    async with real_api(control_plane.kubeconfig) as api:
        yield World(api, names[0]), World(api, names[1])
    await asyncio.to_thread(control_plane.kubectl, "delete", "namespace", *names, "--wait=false")


async def test_one_operator_sees_jobs_of_all_namespaces_to_their_end(
    operators: Operators, rights: Path, worlds: tuple[World[RealApi], World[RealApi]]
) -> None:
    ada, bob = worlds
    await ada.api.create(JOB, job(namespace=ada.namespace))
    operators.start(rights)
    await ada.has_pods("a-1-0")
    await bob.api.create(JOB, job(namespace=bob.namespace, compute={"nodes": 2}))
    await bob.has_pods("a-1-0", "a-1-1")
    for world, pods in ((ada, ("a-1-0",)), (bob, ("a-1-0", "a-1-1"))):
        for pod in pods:
            await world.runs(pod)
        await world.reaches(attemptCreated=True)
        for pod in pods:
            await world.ends(pod, kind="finished", code=0)
        await world.reaches(phase="Succeeded")
    assert [line["message"] for line in operators.log() if LACKS_A_RIGHT in line["message"]] == []


async def test_the_charts_rights_are_enough_to_clean_up_behind_a_job_and_no_log_has_the_token(
    operators: Operators, rights: Path, worlds: tuple[World[RealApi], World[RealApi]]
) -> None:
    world, _ = worlds
    operators.start(rights, level="debug")
    await world.api.create(JOB, job(namespace=world.namespace, ttlSecondsAfterFinished=0))
    await world.has_pods("a-1-0")
    await world.runs("a-1-0")
    await world.reaches(attemptCreated=True)
    await world.ends("a-1-0", kind="finished", code=0)

    async def is_clean() -> bool:
        maps = [name for name in await world.names(CONFIG_MAP) if name != "kube-root-ca.crt"]
        return not maps and not await world.names()

    await until(is_clean, what="an empty namespace")
    token = yaml.safe_load(await asyncio.to_thread(rights.read_text))["users"][0]["user"]["token"]
    assert (len(operators.log()) > 1, token in operators.text()) == (True, False)


async def killing(asked: web.Request, _forward: Forward) -> web.StreamResponse:
    """The deed of a network that cuts a connection before anything is answered."""
    assert asked.transport is not None
    asked.transport.abort()
    return web.Response()


CUTS = {
    "killed": killing,
    "unavailable": answering(503, "ServiceUnavailable"),
    "too-old": telling(410),
}
"""What may become of a watch, each with the name of the job that is created meanwhile."""


async def test_jobs_created_while_the_watch_of_jobs_is_cut_are_picked_up(
    proxy: FaultyProxy, world: World[RealApi], operators: Operators, tmp_path: Path
) -> None:
    process = operators.start(proxy.kubeconfig(tmp_path))
    await world.api.create(JOB, job(namespace=world.namespace))
    pods = ["a-1-0"]
    await world.has_pods(*pods)
    for name, deed in CUTS.items():
        await until(lambda: proxy.is_watched("finetunejobs"), what="a watch of jobs")
        cut = proxy.inject(lambda asked: "finetunejobs" in asked.path and "watch" in asked.query, deed)
        proxy.cut_watches()
        async with asyncio.timeout(20):
            await cut.met.wait()
        await world.api.create(JOB, job(name, namespace=world.namespace))
        proxy.mend()
        pods.append(f"{name}-1-0")
        await world.has_pods(*pods)
    assert process.poll() is None
