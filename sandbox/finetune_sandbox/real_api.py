"""A `NodeApi` over the Kubernetes API: the operator's own client, with what only nodes and administrators ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from finetune_operator.cluster.client import ApiServer, path
from finetune_operator.cluster.port import POD
from kubernetes.aio import config
from kubernetes.aio.client import Configuration


class RealApi(ApiServer):
    """The API server, with the subresources that a node, a scheduler or a test needs; close it when done."""

    async def bind(self, namespace: str, pod: str, node: str) -> None:
        """See `NodeApi.bind`."""
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
        await self._call("POST", path(POD, namespace, pod) + "/binding", body=binding)

    async def evict(self, namespace: str, pod: str) -> None:
        """See `NodeApi.evict`."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        await self._call("POST", path(POD, namespace, pod) + "/eviction", body=eviction)


@asynccontextmanager
async def real_api(kubeconfig: Path) -> AsyncIterator[RealApi]:
    """The API server of a kubeconfig, while the block lasts."""
    configuration = Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration, persist_config=False)
    api = RealApi(configuration)
    try:
        yield api
    finally:
        await api.close()
