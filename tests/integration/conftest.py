"""The house is shared by these tests: node, W&B server, operator. A namespace is a test's own.

It is torn down behind them: its node and its operator would take the pods and jobs of other tests.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from finetune_operator.cluster.port import POD, Selection
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.hub import Hub
from finetune_sandbox.node_api import PRIORITY_CLASS
from finetune_sandbox.process_node import ProcessNode
from finetune_sandbox.real_api import real_api
from finetune_sandbox.wandb_server import API_KEY, Settings, WandbServer

from tests.conftest import empty
from tests.integration.lab import ABSENT_IMAGE, Lab
from tests.trainer.running import supervisor

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def house(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory, house_hub: Hub, socket: Path
) -> AsyncIterator[Lab]:
    """Everything that these tests share; each brings what it has harmed into order again."""
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
                entrypoint=supervisor(socket),
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
                hub_url=house_hub.url,
                folder=folder,
                ranks=socket,
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
    await asyncio.to_thread(empty, house.plane, namespace)
    deadline = time.monotonic() + 60
    while (await house.api.list(Selection(kind=POD, namespace=namespace))).items:
        assert time.monotonic() < deadline, f"Pods are left in {namespace}."
        await asyncio.sleep(0.1)
