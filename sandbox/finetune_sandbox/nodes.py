"""What a Node object looks like, with GPUs that need not exist."""

from typing import Any

GPU = "nvidia.com/gpu"


def node_manifest(
    name: str, *, gpus: int = 8, cpus: int = 16, memory: str = "256Gi", pods: int = 110
) -> dict[str, Any]:
    """A Node that advertises this much and says that it is ready."""
    capacity = {"cpu": str(cpus), "memory": memory, "ephemeral-storage": "1Ti", "pods": str(pods)}
    if gpus:
        capacity[GPU] = str(gpus)
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": capacity, "allocatable": dict(capacity), "conditions": [ready_condition()]},
    }


def ready_condition(*, ready: bool = True) -> dict[str, Any]:
    """The Ready condition as a kubelet writes it."""
    return {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "KubeletReady" if ready else "KubeletNotReady",
        "message": "kubelet is posting ready status",
    }
