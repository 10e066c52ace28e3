"""The operator as it is shipped, as processes, with the rights that the chart gives it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_sandbox import processes
from finetune_sandbox.binaries import BinaryUnavailable, binary
from finetune_sandbox.control_plane import ControlPlane

CHART = Path(__file__).parents[3] / "charts" / "finetune-operator"
NAME = "ft-finetune-operator"
"""What the chart of release `ft` calls the operator and its Lease."""


class Operators:
    """Operator processes of one test."""

    def __init__(self, folder: Path, namespace: str, *, everywhere: bool = False) -> None:
        self._folder = folder
        self._namespace = namespace
        self._arguments = () if everywhere else ("--namespace", namespace)
        self.started: list[subprocess.Popen[bytes]] = []

    def start(
        self, kubeconfig: Path, *, lease: str = NAME, port: int = 0, level: str = "debug"
    ) -> subprocess.Popen[bytes]:
        """Start one."""
        environment = os.environ | {
            "FINETUNE_TRAINER_IMAGE": "trainer:dev",
            "FINETUNE_HTTP_PORT": str(port),
            "FINETUNE_LEASE_NAME": lease,
            "FINETUNE_LOG_LEVEL": level,
            "POD_NAMESPACE": self._namespace,
        }
        command = (sys.executable, "-m", "finetune_operator", *self._arguments, "--kubeconfig", str(kubeconfig))
        log = self._folder / f"operator-{len(self.started)}.log"
        self.started.append(processes.start(command, log, environment))
        return self.started[-1]

    def text(self, number: int = 0) -> str:
        """What one of them has written."""
        return (self._folder / f"operator-{number}.log").read_text()

    def log(self, number: int = 0) -> list[dict[str, Any]]:
        """What one of them has said."""
        return [json.loads(line) for line in self.text(number).splitlines()]


@contextmanager
def operators_of(folder: Path, namespace: str, *, everywhere: bool = False) -> Iterator[Operators]:
    """Operators that are ended with the block."""
    started = Operators(folder, namespace, everywhere=everywhere)
    try:
        yield started
    finally:
        for process in started.started:
            process.kill()
            process.wait()


@contextmanager
def installed_rights(plane: ControlPlane, namespace: str, *, watched: str = "") -> Iterator[Path]:
    """The kubeconfig of a service account with exactly what the chart gives it."""
    text = rendered(namespace, f"watchNamespace={watched}")
    plane.apply(*yaml.safe_load_all(text))
    try:
        yield plane.service_account(namespace, NAME)
    finally:
        # Rights over the cluster would outlive the test's namespace.
        plane.kubectl("delete", "-f", "-", "--wait=false", "--ignore-not-found", stdin=text)


def rendered(namespace: str, *wishes: str) -> str:
    """The chart's service account and rights."""
    try:
        helm = binary("helm")
    except BinaryUnavailable as missing:
        pytest.skip(str(missing))
    shown = [f"--show-only=templates/{name}.yaml" for name in ("serviceaccount", "rbac")]
    command = (str(helm), "template", "ft", str(CHART), "--namespace", namespace, *shown)
    done = subprocess.run((*command, *(f"--set={wish}" for wish in wishes)), capture_output=True, text=True, check=True)
    return done.stdout
