"""The lab: a control plane shared by the session, everything else a test's own."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.hub import Hub
from finetune_sandbox.hub.repositories import furnish
from finetune_sandbox.node_api import PRIORITY_CLASS
from finetune_sandbox.process_node import ProcessNode
from finetune_sandbox.real_api import real_api
from finetune_sandbox.wandb_server import WandbServer

from tests.integration.lab import ABSENT_IMAGE, Lab, furnished

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The sandbox's Hub with its own models and data sets."""
    root = tmp_path_factory.mktemp("hub")
    furnish(root)
    with Hub(root) as served:
        yield served


@pytest.fixture
async def lab(control_plane: ControlPlane, namespace: str, tmp_path: Path, hub: Hub) -> AsyncIterator[Lab]:
    """A namespace with a one-GPU node, a W&B server, the key to it, and a running operator."""
    control_plane.apply(
        {"apiVersion": PRIORITY_CLASS.api_version, "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
    )
    (tmp_path / "wandb").mkdir()
    with WandbServer(tmp_path / "wandb") as wandb:
        async with (
            real_api(control_plane.kubeconfig) as api,
            ProcessNode(
                api,
                f"lab-{next(_numbers)}",
                tmp_path / "node",
                absent_images=frozenset({ABSENT_IMAGE}),
                retry_seconds=0.2,
                variables={"DS_ACCELERATOR": "cpu"},
            ) as node,
        ):
            made = Lab(
                plane=control_plane,
                api=api,
                namespace=namespace,
                node=node,
                wandb=wandb,
                hub_url=hub.url,
                folder=tmp_path,
            )
            await made.keep_key()
            async with furnished(made):
                yield made
