"""Both stores, so that whatever is claimed of the one is claimed of the other."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.devices import Devices
from finetune_sandbox.memory_api import MemoryApi
from finetune_sandbox.memory_scheduler import MemoryScheduler
from finetune_sandbox.node_api import PRIORITY_CLASS
from finetune_sandbox.process_node import ProcessNode
from finetune_sandbox.real_api import real_api

from tests.sandbox.pods import Place
from tests.sandbox.wandb_sdk import fresh_server, plain_sdk

__all__ = ["fresh_server", "place", "plain_sdk"]

ABSENT = "registry.example/absent:1"
_numbers = itertools.count(1)

STORES = [
    pytest.param("memory", id="in memory"),
    pytest.param("control plane", id="on a real control plane", marks=pytest.mark.control_plane),
]


@pytest.fixture(params=STORES)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A cluster with a scheduler and the priority class `high`."""
    node = f"node-{next(_numbers)}"
    if request.param == "memory":
        api = MemoryApi()
        await api.create(PRIORITY_CLASS, {"metadata": {"name": "high"}, "value": 1000})
        async with MemoryScheduler(api):
            yield Place(api=api, namespace="default", node=node)
        return
    control_plane: ControlPlane = request.getfixturevalue("control_plane")
    namespace: str = request.getfixturevalue("namespace")
    control_plane.apply(
        {"apiVersion": PRIORITY_CLASS.api_version, "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
    )
    async with real_api(control_plane.kubeconfig) as real:
        yield Place(api=real, namespace=namespace, node=node)


@pytest.fixture
async def node(place: Place, tmp_path: Path) -> AsyncIterator[ProcessNode]:
    """A process node with one GPU, the one that CUDA calls 7."""
    how: dict[str, Any] = {"absent_images": frozenset({ABSENT}), "devices": Devices(("7",)), "retry_seconds": 0.1}
    async with ProcessNode(place.api, place.node, tmp_path, **how) as there:
        yield there
