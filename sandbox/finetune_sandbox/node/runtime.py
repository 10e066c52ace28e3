"""containerd with pods on a bridge: the configuration, and the mounts that it leaves behind."""

import json
import subprocess
from contextlib import suppress
from pathlib import Path

from finetune_sandbox import processes

POD_RANGE = "10.244.0.0/24"
PLUGINS = "/usr/lib/cni"
SOCKET = "containerd.sock"
NETWORK = "finetune-sandbox"
REMEMBERED = Path("/var/lib/cni/results")
CONTROL_GROUPS = Path("/sys/fs/cgroup")

CONFIGURATION = """
version = 2
root = "{root}"
state = "{state}"
[grpc]
  address = "{state}/{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{network}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    discard_unpacked_layers = true
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def started(root: Path, folder: Path, pause: str) -> subprocess.Popen[bytes]:
    """Start containerd with its layers in `root` and all that lasts no longer than the test in `folder`."""
    state, network = folder / "containerd", folder / "network"
    state.mkdir()
    network.mkdir()
    (network / "10-bridge.conflist").write_text(json.dumps(_bridge(folder)))
    file = folder / "containerd.toml"
    values = {"root": root, "state": state, "socket": SOCKET, "pause": pause, "plugins": PLUGINS, "network": network}
    file.write_text(CONFIGURATION.format(**values))
    return processes.start(("containerd", "--config", str(file)), folder / "logs" / "containerd.log")


def endpoint(folder: Path) -> str:
    """Where the kubelet finds it."""
    return f"unix://{folder / 'containerd' / SOCKET}"


def unmount_below(folder: Path) -> None:
    """Take down what containerd and kubelet mounted, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if Path(point).is_relative_to(folder)), reverse=True):
        subprocess.run(("umount", "--lazy", point), check=False, capture_output=True)


def forget_pods() -> None:
    """Remove what killed pods leave in the machine: remembered addresses and empty control groups."""
    for result in REMEMBERED.glob(f"{NETWORK}-*"):
        result.unlink(missing_ok=True)
    for groups in sorted(CONTROL_GROUPS.glob("*/kubepods/**/"), reverse=True):
        with suppress(OSError):  # Another kubelet's is not empty.
            groups.rmdir()


def _bridge(folder: Path) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(folder / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": NETWORK, "plugins": [bridge]}
