"""The house is shared by the session: control plane, node, W&B server, hub, operator. A namespace is a test's own."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from finetune_operator.cluster.port import POD, Selection
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.hub import Hub
from finetune_sandbox.hub.repositories import furnish
from finetune_sandbox.node_api import PRIORITY_CLASS
from finetune_sandbox.process_node import ProcessNode
from finetune_sandbox.real_api import real_api
from finetune_sandbox.wandb_server import API_KEY, Settings, WandbServer

from tests.conftest import at_work
from tests.integration.lab import ABSENT_IMAGE, Lab
from tests.trainer.resume_fixtures import forkserver
from tests.trainer.running import SUPERVISE

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of the house's own: its node and its operator would take the pods and jobs of other tests."""
    with at_work(tmp_path_factory.mktemp("house-control-plane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The sandbox's Hub with its own models and data sets."""
    root = tmp_path_factory.mktemp("hub")
    furnish(root)
    with Hub(root) as served:
        yield served


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Path]:
    """A forkserver for the trainers; the Hub's libraries read its address and their cache's as they are imported."""
    cache = tmp_path_factory.mktemp("huggingface")
    with forkserver(tmp_path_factory.mktemp("forkserver"), HF_ENDPOINT=hub.url, HF_HOME=str(cache)) as socket:
        yield socket


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory, hub: Hub, ranks: Path
) -> AsyncIterator[Lab]:
    """Everything that tests share; each brings what it has harmed into order again."""
    folder = tmp_path_factory.mktemp("house")
    control_plane.apply(
        {"apiVersion": PRIORITY_CLASS.api_version, "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
    )
    (folder / "wandb").mkdir()
    with WandbServer(folder / "wandb", settings=Settings(keys=(API_KEY,))) as wandb:
        async with (
            real_api(control_plane.kubeconfig) as api,
            ProcessNode(
                api,
                "gpu-node-a",
                folder / "node",
                absent_images=frozenset({ABSENT_IMAGE}),
                entrypoint=(*Lab.python(), str(SUPERVISE), str(ranks)),
                retry_seconds=0.2,
                variables={"DS_ACCELERATOR": "cpu"},
            ) as node,
        ):
            made = Lab(
                plane=control_plane,
                api=api,
                namespace="default",
                node=node,
                wandb=wandb,
                hub_url=hub.url,
                folder=folder,
                ranks=ranks,
            )
            made.start_operator()
            try:
                yield made
            finally:
                made.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def lab(house: Lab) -> AsyncIterator[Lab]:
    """The house with a namespace of the test's own, which has the key to W&B; its jobs and pods are gone afterwards."""
    namespace = await asyncio.to_thread(house.plane.namespace, f"lab-{next(_numbers)}")
    made = replace(house, namespace=namespace)
    await made.keep_key()
    yield made
    house.wandb.heal()
    await asyncio.to_thread(house.plane.kubectl, "delete", "ftj", "--all", "-n", namespace, "--wait=false")
    deadline = time.monotonic() + 60
    while (await house.api.list(Selection(kind=POD, namespace=namespace))).items:
        assert time.monotonic() < deadline, f"Pods are left in {namespace}."
        await asyncio.sleep(0.1)
