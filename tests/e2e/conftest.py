"""The real node for the end-to-end tests, once per session: it takes a minute, the very first time ten."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from finetune_sandbox.binaries import binary
from finetune_sandbox.node import node as real
from finetune_sandbox.node.node import Node

CHART = Path(__file__).parents[2] / "charts" / "finetune-operator"
SYSTEM = "finetune-system"
RELEASE = "ft"
DEPLOYMENT = f"{RELEASE}-finetune-operator"


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A cluster with one real node that says it has one GPU."""
    if obstacle := real.obstacle():
        pytest.skip(obstacle)
    with Node(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture(scope="session")
def operator(node: Node) -> Node:
    """The node with the operator installed by Helm from our own image, and ready."""
    repository, tag = node.image("finetune-operator").rsplit(":", 1)
    trainer, trainer_tag = node.image("finetune-trainer").rsplit(":", 1)
    wishes = {
        "image.repository": repository,
        "image.tag": tag,
        "trainer.image.repository": trainer,
        "trainer.image.tag": trainer_tag,
    }
    settings = [word for name, value in wishes.items() for word in ("--set-string", f"{name}={value}")]
    helm(node, "install", RELEASE, str(CHART), "--namespace", SYSTEM, "--create-namespace", *settings)
    node.cluster.kubectl("--namespace", SYSTEM, "rollout", "status", f"deployment/{DEPLOYMENT}", "--timeout=180s")
    return node


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
