"""The real node for the end-to-end tests, once per session: it takes a minute, the very first time ten."""

import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from finetune_sandbox.binaries import binary
from finetune_sandbox.comparison import Result
from finetune_sandbox.hub import Hub
from finetune_sandbox.node import node as real
from finetune_sandbox.node.node import Node
from finetune_sandbox.wandb_server import API_KEY, Settings, WandbServer

from tests.e2e.stage import Stage

CHART = Path(__file__).parents[2] / "charts" / "finetune-operator"
SYSTEM = "finetune-system"
RELEASE = "ft"
DEPLOYMENT = f"{RELEASE}-finetune-operator"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
HIGH = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "high"},
    "value": 1000,
}
"""Pods that take the room of others."""
TOLERANT = {"operator": "Exists", "effect": "NoExecute"}
PATIENCE = 2400
"""Seconds for a test with all that it waits for; the first one may have to build the images."""
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let nothing here end by the time limit that holds for small tests."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A cluster with one real node that says it has one GPU."""
    if obstacle := real.obstacle():
        pytest.skip(obstacle)
    with Node(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture(scope="session")
def wandb(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbServer]:
    """A W&B server where pods reach it; it takes one key and no other."""
    with WandbServer(tmp_path_factory.mktemp("wandb"), host=node.address, settings=Settings(keys=(API_KEY,))) as served:
        yield served


@pytest.fixture(scope="session")
def hub(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub where pods reach it."""
    with Hub(tmp_path_factory.mktemp("hub"), host=node.address) as served:
        yield served


@pytest.fixture(scope="session")
def operator(node: Node, wandb: WandbServer, hub: Hub) -> Node:
    """The node with the operator installed by Helm from our own image, and ready."""
    repository, tag = node.image("finetune-operator").rsplit(":", 1)
    trainer, trainer_tag = node.image("finetune-trainer").rsplit(":", 1)
    wishes = {
        "image.repository": repository,
        "image.tag": tag,
        "trainer.image.repository": trainer,
        "trainer.image.tag": trainer_tag,
        "wandbBaseUrl": wandb.url,
        "hubEndpoint": hub.url,
    }
    settings = [word for name, value in wishes.items() for word in ("--set-string", f"{name}={value}")]
    # Where there are more nodes than one, the operator is not on the one that is found broken.
    settings += ["--set-json", f"tolerations={json.dumps([TOLERANT])}"]
    helm(node, "install", RELEASE, str(CHART), "--namespace", SYSTEM, "--create-namespace", *settings)
    node.cluster.kubectl("--namespace", SYSTEM, "rollout", "status", f"deployment/{DEPLOYMENT}", "--timeout=180s")
    return node


@pytest.fixture(scope="session")
def twins() -> dict[str, Result]:
    """What jobs that nobody disturbed have left, by their spec."""
    return {}


@pytest.fixture
def stage(operator: Node, wandb: WandbServer, twins: dict[str, Result]) -> Iterator[Stage]:
    """A namespace of the test's own, restricted, with the key to W&B; its jobs are gone afterwards."""
    name = operator.cluster.namespace(f"team-{next(_numbers)}")
    operator.cluster.apply(HIGH)
    operator.cluster.kubectl("label", "namespace", name, RESTRICTED)
    made = Stage(node=operator, wandb=wandb, namespace=name, twins=twins)
    made.kubectl("create", "secret", "generic", "wandb", f"--from-literal=WANDB_API_KEY={API_KEY}")
    yield made
    made.kubectl("delete", "ftj,pods", "--all", "--timeout=60s")


@pytest.fixture
def two_gpus(node: Node) -> Iterator[None]:
    """The node says that it has two GPUs while the test lasts."""
    node.advertise(2)
    yield
    node.advertise(1)


def helm(node: Node, *arguments: str) -> str:
    """Run the real Helm as administrator."""
    done = subprocess.run(
        (binary("helm"), "--kubeconfig", node.cluster.kubeconfig, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
