"""A real registry on the private loopback, from which the node pulls as from any other."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from finetune_sandbox import processes
from finetune_sandbox.binaries import binary
from finetune_sandbox.node.images import Image, buildah

ADDRESS = "127.0.0.1:5000"
MANIFESTS = "application/vnd.oci.image.manifest.v1+json"


def reference(image: Image) -> str:
    """What a pod names."""
    return f"{ADDRESS}/{image.name}:{image.tag}"


def started(store: Path, folder: Path) -> subprocess.Popen[bytes]:
    """The registry over this store, once it answers."""
    configuration = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(store)}},
        "http": {"addr": ADDRESS},
    }
    file = folder / "registry.yaml"
    file.write_text(yaml.safe_dump(configuration))
    # It would otherwise look for a collector of traces.
    environment = os.environ | {"OTEL_TRACES_EXPORTER": "none"}
    log = folder / "logs" / "registry.log"
    server = processes.start((str(binary("registry")), "serve", str(file)), log, environment)
    deadline = time.monotonic() + 30
    while not _answers("/v2/"):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"The registry does not answer; its log is {log}.")
        time.sleep(0.05)
    return server


def push(image: Image) -> None:
    """Upload what the registry does not have."""
    if not _answers(f"/v2/{image.name}/manifests/{image.tag}"):
        where = f"docker://{reference(image)}"
        quick = ("--compression-format=zstd", "--compression-level=1")  # gzip takes minutes for torch, both ways.
        buildah("push", "--quiet", "--tls-verify=false", "--format=oci", *quick, image.identity, where)


def _answers(path: str) -> bool:
    request = urllib.request.Request(f"http://{ADDRESS}{path}", method="HEAD", headers={"Accept": MANIFESTS})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (ours)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
