"""A network of the bench's own, without root: addresses for pods that are local, and yet no loopback addresses.

With loopback addresses the endpoint controllers would try again and again to write what the API server refuses.
"""

import subprocess
import sys
from collections.abc import Sequence

from finetune_sandbox.binaries import binary

NOBODY = "198.18.0.1"
"""The address of a pod that answers nobody, when nobody listens."""
FURNISH = 'ip link set lo up && ip route add local 198.18.0.0/15 dev lo && exec "$@"'
SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")


def inside(arguments: Sequence[str]) -> int:
    """Run `python -m bench` with these arguments in a network of its own; its exit code."""
    for name in SERVERS:  # Nothing can be downloaded in there.
        binary(name)
    command = (sys.executable, "-m", "bench", "--inside", *arguments)
    return subprocess.run(("unshare", "-Urn", "sh", "-c", FURNISH, "sh", *command), check=False).returncode
