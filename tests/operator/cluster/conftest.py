"""A world on a real API server, and a network before it that can go bad."""

from collections.abc import AsyncIterator

import pytest
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.real_api import RealApi, real_api

from tests.operator.cluster.faulty import FaultyProxy
from tests.operator.cluster.worlds import World


@pytest.fixture
async def world(control_plane: ControlPlane, namespace: str) -> AsyncIterator[World[RealApi]]:
    async with real_api(control_plane.kubeconfig) as api:
        yield World(api, namespace)


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(control_plane).served() as proxy:
        yield proxy
