import pytest
from finetune_operator.cluster.port import CONFIG_MAP, Cluster
from finetune_sandbox.memory_api import MemoryApi

from tests.operator.cluster.suite import ClusterSuite, config_map


class TestMemoryApi(ClusterSuite):
    """The API server in memory keeps to what the real one does."""

    @pytest.fixture
    def cluster(self) -> MemoryApi:
        return MemoryApi(history=4)

    @pytest.fixture
    def namespace(self) -> str:
        return "default"

    async def compacted(self, cluster: Cluster, namespace: str) -> str:
        created = await cluster.create(CONFIG_MAP, config_map(namespace, "first"))
        for number in range(6):
            await cluster.create(CONFIG_MAP, config_map(namespace, f"n{number}"))
        version: str = created["metadata"]["resourceVersion"]
        return version
