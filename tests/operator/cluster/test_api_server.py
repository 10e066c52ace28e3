import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from uuid import uuid4

import pytest
import pytest_asyncio
from finetune_operator.cluster.client import ApiServer, api_server
from finetune_operator.cluster.port import CONFIG_MAP, EVENT, Cluster, Expired, Selection
from finetune_sandbox.control_plane import ControlPlane, Options

from tests.operator.cluster.suite import PATIENCE_SECONDS, ClusterSuite, config_map, heard


@pytest.mark.control_plane
class TestApiServer(ClusterSuite):
    """Our client on a real API server."""

    @pytest.fixture(scope="class")
    def control_plane(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
        """A control plane of its own, because it forgets quickly."""
        options = Options(api_server_flags=("--etcd-compaction-interval=2s",))
        with ControlPlane(tmp_path_factory.mktemp("forgetful"), options) as plane:
            yield plane

    @pytest_asyncio.fixture
    async def cluster(self, control_plane: ControlPlane) -> AsyncIterator[ApiServer]:
        server = await api_server(str(control_plane.kubeconfig))
        yield server
        await server.close()

    async def compacted(self, cluster: Cluster, namespace: str) -> str:
        """Wait until a version has fallen out of the store: the fixture's server forgets every two seconds."""
        version = (await cluster.list(Selection(kind=EVENT, namespace=namespace))).resource_version
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await is_remembered(cluster, namespace, version):
                # The store forgets only what is older than something newer.
                await cluster.create(CONFIG_MAP, config_map(namespace, f"n{uuid4().hex}"))
        return version


async def is_remembered(cluster: Cluster, namespace: str, version: str) -> bool:
    """Whether a watch can begin at this version."""
    try:
        async with (
            asyncio.timeout(0.5),
            aclosing(cluster.watch(Selection(kind=EVENT, namespace=namespace), version)) as changes,
        ):
            await heard(changes, 1)
    except Expired:
        return False
    except TimeoutError:
        return True
    return True
