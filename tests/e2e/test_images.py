"""The images on a real node, as pods of the strictest kind run them."""

import json
from typing import Any

import pytest
from finetune_sandbox.node import node as real
from finetune_sandbox.node.node import Node

from tests.e2e.conftest import DEPLOYMENT, SYSTEM

pytestmark = pytest.mark.e2e

IMPORTS = "import torch, transformers.trainer, wandb, datasets, deepspeed, finetune_trainer.contract"
COLLECTIVE = """
import os, shutil
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29500", RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")
import deepspeed
deepspeed.init_distributed(dist_backend="gloo")
from deepspeed.ops.op_builder import builder
print(sorted(builder.OpBuilder._loaded_ops), shutil.which("g++"), os.path.exists("/work/.cache/torch_extensions"))
"""
GANG = ("rank-0", "rank-1")
LISTEN = "import socket; s = socket.create_server(('', 29500)); c, _ = s.accept(); print(c.recv(9).decode())"
CALL = """
import socket, time
deadline = time.monotonic() + 60
while True:
    try:
        socket.create_connection(("rank-0.gang.default.svc.cluster.local", 29500), 5).sendall(b"met"); break
    except OSError:
        assert time.monotonic() < deadline
        time.sleep(0.2)
"""


def pod(image: str, name: str, program: str, **spec: Any) -> dict[str, Any]:
    """A pod that passes Pod Security restricted and may write to /work alone."""
    unprivileged = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "trainer",
        "image": image,
        "command": ["python", "-c", program],
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    fixed = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": unprivileged,
        "containers": [container],
        "volumes": [{"name": "work", "emptyDir": {}}],
    }
    metadata = {"name": name, "namespace": "default", "labels": {"gang": "gang"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": fixed | spec}


def ended(node: Node, name: str) -> tuple[str, str]:
    """The phase and the last line of output of a pod that has ended."""
    node.until(lambda: phase(node, name) in {"Succeeded", "Failed"}, f"{name} has ended", seconds=400)
    return phase(node, name), node.cluster.kubectl("logs", name, "--tail=1").strip()


def phase(node: Node, name: str) -> str:
    return node.cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")


def test_the_trainers_environment_is_whole_for_an_unprivileged_user_on_a_read_only_root(node: Node) -> None:
    node.cluster.apply(pod(node.image("finetune-trainer"), "imports", f"{IMPORTS}; print('whole')"))
    assert ended(node, "imports") == ("Succeeded", "whole")


def test_deepspeeds_collective_is_loaded_without_a_compiler(node: Node) -> None:
    node.cluster.apply(pod(node.image("finetune-trainer"), "collective", COLLECTIVE))
    assert ended(node, "collective") == ("Succeeded", "['deepspeed_shm_comm'] None False")


def test_a_gang_meets_by_the_name_of_its_service(node: Node) -> None:
    service = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"gang": "gang"}}
    node.cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gang"}, "spec": service})
    image = node.image("finetune-trainer")
    node.cluster.apply(
        *(
            pod(image, name, program, hostname=name, subdomain="gang")
            for name, program in zip(GANG, (LISTEN, CALL), strict=True)
        )
    )
    assert [ended(node, name) for name in GANG] == [("Succeeded", "met"), ("Succeeded", "")]


def test_the_operator_installed_by_helm_is_ready_and_one_replica_leads(operator: Node) -> None:
    get = ("--namespace", SYSTEM, "get", "-o", "json")
    status = json.loads(operator.cluster.kubectl(*get, "deployment", DEPLOYMENT))["status"]
    operator.until(lambda: leader(operator) != "", "One replica leads")
    assert (status["readyReplicas"], leader(operator).startswith(DEPLOYMENT)) == (2, True)


def leader(node: Node) -> str:
    query = "jsonpath={.items[*].spec.holderIdentity}"
    return node.cluster.kubectl("--namespace", SYSTEM, "get", "leases", "-o", query)


def test_the_node_counts_the_gpus_that_it_says_it_has(node: Node) -> None:
    query = "jsonpath={.status.allocatable.nvidia\\.com/gpu}"
    assert node.cluster.kubectl("get", "node", real.NAME, "-o", query) == "1"
