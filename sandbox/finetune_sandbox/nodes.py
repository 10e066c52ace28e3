"""What a Node object looks like, with GPUs that need not exist, and how pods are counted against it."""

import re
from dataclasses import dataclass
from decimal import Decimal
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


def with_room(node: dict[str, Any], wanted: "Resources") -> dict[str, Any]:
    """The Node, advertising at least this much."""
    has = allocatable(node)
    more = {name: f"{amount:f}" for name, amount in wanted.amounts.items() if amount > has.amounts.get(name, 0)}
    capacity = node["status"]["capacity"] | more
    return node | {"status": node["status"] | {"capacity": capacity, "allocatable": dict(capacity)}}


def ready_condition(*, ready: bool = True) -> dict[str, Any]:
    """The Ready condition as a kubelet writes it."""
    return {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "KubeletReady" if ready else "KubeletNotReady",
        "message": "kubelet is posting ready status",
    }


SUFFIXES = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("n", "u", "m", "", *"kMGTPE"), start=-3)},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
QUANTITY = re.compile(
    r"(?P<number>[+-]?([0-9]+\.?[0-9]*|\.[0-9]+))(?P<suffix>[KMGTPE]i|[numkMGTPE]?)(?P<exponent>(?<![A-Za-z])[eE][+-]?[0-9]+)?"
)


class NotAQuantity(ValueError):
    """A text that is no amount; the message is the API server's."""

    def __init__(self) -> None:
        super().__init__("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")


def quantity(text: str | float) -> Decimal:
    """A Kubernetes quantity, for example 500m, 64Gi or 1e3, as a number. Raises `NotAQuantity`."""
    found = QUANTITY.fullmatch(str(text))
    if found is None:
        raise NotAQuantity
    return Decimal(found["number"] + (found["exponent"] or "")) * SUFFIXES[found["suffix"]]


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts by the resource's name."""

    amounts: dict[str, Decimal]

    def __add__(self, other: "Resources") -> "Resources":
        names = self.amounts.keys() | other.amounts.keys()
        return Resources(
            {name: self.amounts.get(name, Decimal()) + other.amounts.get(name, Decimal()) for name in names}
        )

    def __sub__(self, other: "Resources") -> "Resources":
        return self + Resources({name: -amount for name, amount in other.amounts.items()})

    def lacking(self, room: "Resources") -> tuple[str, ...]:
        """The resources of which there is less room than this, sorted."""
        return tuple(
            sorted(name for name, amount in self.amounts.items() if amount and amount > room.amounts.get(name, 0))
        )

    def rank(self) -> tuple[Decimal, Decimal]:
        """Orders nodes by the room they have: GPUs, then CPUs."""
        return self.amounts.get(GPU, Decimal()), self.amounts.get("cpu", Decimal())


def requested(pod: dict[str, Any]) -> Resources:
    """What a pod asks for, itself included in the number of pods."""
    total = Resources({"pods": Decimal(1)})
    for container in pod["spec"]["containers"]:
        requests = (container.get("resources") or {}).get("requests") or {}
        total += Resources({name: quantity(amount) for name, amount in requests.items()})
    return total


def allocatable(node: dict[str, Any]) -> Resources:
    """What a node has to give."""
    return Resources({name: quantity(amount) for name, amount in node["status"].get("allocatable", {}).items()})


def blocked_because(pod: dict[str, Any], node: dict[str, Any]) -> str | None:
    """Why a pod may not run on a node whatever its room, in the scheduler's words."""
    spec = node.get("spec", {})
    if spec.get("unschedulable"):
        return "node(s) were unschedulable"
    wanted = pod["spec"].get("nodeSelector") or {}
    labels = node["metadata"].get("labels", {})
    if any(labels.get(name) != value for name, value in wanted.items()):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in spec.get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not _tolerates(pod, taint):
            return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
    return None


def _tolerates(pod: dict[str, Any], taint: dict[str, str]) -> bool:
    return any(
        each.get("key") in {None, taint["key"]}
        and each.get("effect") in {None, taint["effect"]}
        and (each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", ""))
        for each in pod["spec"].get("tolerations") or ()
    )
