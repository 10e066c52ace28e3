"""The node as a whole, to be used in a `with` statement as root: a cluster of one real machine.

Everything that the test itself starts inside the block (a W&B server, a hub) is in the same private network: let it
listen on `ADDRESS`, where pods reach it.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from finetune_sandbox.control_plane import SERVICE_ADDRESS, ControlPlane, Options
from finetune_sandbox.node import dns, images, kubelet, registry, runtime
from finetune_sandbox.node.private_network import PrivateNetwork
from finetune_sandbox.nodes import GPU

NAME = "gpu-node"
ADDRESS = "10.89.0.1"
"""The node's own address."""
PROGRAMS = ("containerd", "runc", "buildah", "mmdebstrap", "ip")


class NodeError(Exception):
    """The node did not get ready; the message says where the logs are."""


def obstacle() -> str | None:
    """Why this machine cannot have a real node, in a sentence; None when it can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if sys.platform != "linux" or os.geteuid() != 0:
        return "The real node needs root on Linux."
    if missing or not Path(runtime.PLUGINS).is_dir():
        packages = Path(images.__file__).with_name("packages.txt").name
        return f"The real node needs the packages of sandbox/finetune_sandbox/node/{packages}."
    return None


class Node:
    """A control plane with one real node that says it has GPUs, and the images in its registry."""

    def __init__(self, folder: Path, *, gpus: int = 1, options: Options | None = None) -> None:
        self.folder = folder
        self.gpus = gpus
        given = options or Options()
        self.cluster = ControlPlane(folder / "control-plane", _at_service_address(given))
        self.images: dict[str, images.Image] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def image(self, name: str) -> str:
        """The reference under which pods find one of our images."""
        return registry.reference(self.images[name])

    @property
    def address(self) -> str:
        """Where a server of the test's own must listen for pods to reach it."""
        return ADDRESS

    def advertise(self, gpus: int) -> None:
        """Let the node say that it has this many GPUs."""
        amounts = {"capacity": {GPU: str(gpus)}, "allocatable": {GPU: str(gpus)}}
        patch = json.dumps({"status": amounts})
        self.cluster.kubectl("patch", "node", NAME, "--subresource=status", "--type=merge", "-p", patch)

    def until(self, is_so: Callable[[], bool], what: str, seconds: float = 120) -> None:
        """Poll until it is so; raises when it never is."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise NodeError(f"{what}: not within {seconds:g} s. The logs are in {self.folder / 'logs'}.")
            time.sleep(0.2)

    def _start(self) -> None:
        (self.folder / "logs").mkdir(parents=True)
        store = self._open.enter_context(images.reserved())
        self.images = images.built()
        self._open.callback(runtime.forget_pods)
        self._open.callback(runtime.unmount_below, self.folder)
        self._open.enter_context(PrivateNetwork((SERVICE_ADDRESS, dns.ADDRESS, ADDRESS)))
        registry.started(store / "registry", self.folder)
        for image in self.images.values():
            registry.push(image)
        self._open.enter_context(self.cluster)
        dns.started(self.cluster.kubeconfig, self.folder)
        runtime.started(store / "containerd", self.folder, self.image(images.PAUSE))
        kubelet.started(self.cluster, self.folder, name=NAME, address=ADDRESS)
        self.until(self._is_ready, "The node is ready")
        self.advertise(self.gpus)

    def _is_ready(self) -> bool:
        query = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
        return self.cluster.kubectl("get", "nodes", "-o", query) == "True"


def _at_service_address(given: Options) -> Options:
    """The same, with the API server where pods expect it: there is no kube-proxy."""
    # For `kubectl logs` and `exec`: the node's name resolves nowhere.
    flags = (*given.api_server_flags, "--kubelet-preferred-address-types=InternalIP")
    return replace(given, listen=SERVICE_ADDRESS, port=443, api_server_flags=flags)
