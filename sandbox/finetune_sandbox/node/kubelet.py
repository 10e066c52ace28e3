"""A real kubelet that registers itself as one node."""

import subprocess
from pathlib import Path

import yaml

from finetune_sandbox import processes
from finetune_sandbox.binaries import binary
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.node import dns, runtime


def started(cluster: ControlPlane, folder: Path, *, name: str, address: str) -> subprocess.Popen[bytes]:
    """The kubelet; the node appears when it has registered itself."""
    (folder / "kubelet").mkdir(exist_ok=True)
    (folder / "resolv.conf").touch()
    file = folder / "kubelet.yaml"
    file.write_text(yaml.safe_dump(_configuration(folder)))
    flags = (
        f"--config={file}",
        f"--kubeconfig={cluster.user(f'system:node:{name}', ('system:nodes',))}",
        f"--root-dir={folder / 'kubelet'}",
        f"--cert-dir={folder / 'kubelet'}",
        f"--hostname-override={name}",
        f"--node-ip={address}",
    )
    return processes.start((str(binary("kubelet")), *flags), folder / "logs" / "kubelet.log")


def _configuration(folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # Reached from the private network alone.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": runtime.endpoint(folder),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        # Lowering its own score needs a capability that a virtual machine's root may lack.
        "oomScoreAdj": 0,
        "clusterDomain": dns.DOMAIN,
        "clusterDNS": [dns.ADDRESS],
        "resolvConf": str(folder / "resolv.conf"),
        "podLogsDir": str(folder / "pod-logs"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "4s",
        "syncFrequency": "10s",
    }
