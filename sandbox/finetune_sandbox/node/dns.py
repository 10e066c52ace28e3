"""CoreDNS for the names of headless Services, by which a gang meets."""

import subprocess
from pathlib import Path

from finetune_sandbox import processes
from finetune_sandbox.binaries import binary

ADDRESS = "10.96.0.10"
DOMAIN = "cluster.local"


def started(kubeconfig: Path, folder: Path) -> subprocess.Popen[bytes]:
    """CoreDNS at the usual address of the cluster's service range."""
    file = folder / "Corefile"
    file.write_text(
        f"{DOMAIN}:53 {{\n  bind {ADDRESS}\n  errors\n"
        f"  kubernetes {DOMAIN} {{\n    kubeconfig {kubeconfig}\n    ttl 1\n  }}\n}}\n"
    )
    return processes.start((str(binary("coredns")), "-conf", str(file)), folder / "logs" / "coredns.log")
