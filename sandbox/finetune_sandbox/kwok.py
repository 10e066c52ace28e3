"""Nodes that only say that they run pods: thousands of them, for questions of scale."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from finetune_sandbox import processes
from finetune_sandbox.binaries import binary
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.nodes import node_manifest

_LIVING = {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}
_LEAVING = {"key": ".metadata.deletionTimestamp", "operator": "Exists"}
_PENDING = {"key": ".status.phase", "operator": "In", "values": ["Pending"]}
_UNREADY = {
    "key": '.status.conditions.[] | select(.type == "Ready") | .status',
    "operator": "NotIn",
    "values": ["True"],
}
ADDRESS_LABEL = "kwok.x-k8s.io/address"
"""The address that a pod says it has; whoever asks a pod without it for progress is refused, as nobody listens."""
_ADDRESS = f"""{{{{ or (index .metadata.labels {ADDRESS_LABEL!r}) "127.0.0.1" }}}}""".replace("'", '"')
_RUNNING = """
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
podIP: ADDRESS
podIPs: [{ip: ADDRESS}]
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  restartCount: 0
  ready: true
  started: true
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
""".replace("ADDRESS", _ADDRESS)
_NODE_READY = """
conditions:
- {type: Ready, status: "True", reason: KubeletReady, lastTransitionTime: {{ Now | Quote }}}
"""


def _stage(name: str, kind: str, when: tuple[dict[str, Any], ...], then: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": list(when)},
            "next": then,
        },
    }


STAGES = (
    # kwok takes care of no node, and of no pod on it, unless there is a stage for nodes.
    _stage("node-is-ready", "Node", (_UNREADY,), {"statusTemplate": _NODE_READY}),
    _stage("pod-runs", "Pod", (_LIVING, _PENDING), {"statusTemplate": _RUNNING}),
    _stage("pod-goes", "Pod", (_LEAVING,), {"finalizers": {"empty": True}, "delete": True}),
)


class Kwok:
    """kwok over a control plane: every node that `add_nodes` made is ready, its pods start at once."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        kubeconfig = self._control_plane.user("kwok", ("system:masters",))
        arguments = (
            str(binary("kwok")),
            f"--kubeconfig={kubeconfig}",
            f"--config={self._written_stages()}",
            "--node-lease-duration-seconds=40",
            "--manage-all-nodes=false",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        )
        self._process = processes.start(arguments, self._control_plane.log_folder / "kwok.log")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            processes.stop(self._process)

    def _written_stages(self) -> Path:
        file = self._control_plane.folder / "kwok.yaml"
        file.write_text(yaml.safe_dump_all(STAGES))
        return file

    def add_nodes(self, number: int, *, gpus: int = 8, prefix: str = "kwok") -> None:
        """Register nodes with so many GPUs each."""
        nodes = [node_manifest(f"{prefix}-{index}", gpus=gpus, cpus=64, pods=1000) for index in range(number)]
        for node in nodes:
            node["metadata"]["annotations"] = {"kwok.x-k8s.io/node": "fake"}
        self._control_plane.apply(*nodes)
