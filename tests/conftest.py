"""What many tests stand on, started when a test first asks: a real control plane, a Hub, forkservers of trainers."""

import gc
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from finetune_sandbox.binaries import BinaryUnavailable
from finetune_sandbox.control_plane import ControlPlane, ControlPlaneError, Options
from finetune_sandbox.hub import Hub
from finetune_sandbox.hub.repositories import furnish

from tests.trainer.resume_fixtures import forkservers

CONTROLLERS = (
    *("disruption-controller", "garbage-collector-controller", "namespace-controller", "node-lifecycle-controller"),
    *("persistentvolume-binder-controller", "pod-garbage-collector-controller"),
    *("root-ca-certificate-publisher-controller", "serviceaccount-controller", "serviceaccount-token-controller"),
    "taint-eviction-controller",
)
"""Whom a job meets; the others would watch all the same, and cost."""
CRDS = Path(__file__).parent.parent / "crds"
_numbers = itertools.count(1)

os.environ.setdefault("OMP_NUM_THREADS", "1")  # Torch's idle threads spin, which doubles the CPU time of tiny models.


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no module all of whose tests were ruled out by their mark: those of training would import torch."""
    terms = str(config.getoption("markexpr")).split(" and ")
    if collection_path.suffix != ".py" or not all(term.startswith("not ") for term in terms):
        return None
    marks = next((line for line in collection_path.read_text().splitlines() if line.startswith("pytestmark =")), "")
    return any(f"pytest.mark.{term.removeprefix('not ')}" in re.findall(r"[\w.]+", marks) for term in terms) or None


def pytest_collection_finish() -> None:
    """What is imported now stays, so the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real Kubernetes without nodes, with our CRD; shared, so a test keeps to its own `namespace`."""
    with at_work(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@contextmanager
def at_work(folder: Path) -> Iterator[ControlPlane]:
    """A control plane with our CRD, while the block lasts."""
    plane = ControlPlane(folder, Options(controller_manager_flags=(f"--controllers={','.join(CONTROLLERS)}",)))
    try:
        plane.__enter__()
    except BinaryUnavailable as missing:
        pytest.skip(str(missing))
    try:
        if any(CRDS.glob("*.yaml")):
            plane.install_crds(CRDS)
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own; its jobs and pods are gone afterwards."""
    name = control_plane.namespace(f"test-{next(_numbers)}")
    yield name
    empty(control_plane, name)


def empty(plane: ControlPlane, namespace: str) -> None:
    """Remove what an operator or a scheduler would go on with; a namespace that goes would cost a hundred requests."""
    with suppress(ControlPlaneError):  # A plane without our CRD has no jobs.
        plane.ask("DELETE", f"/apis/finetune.dev/v1alpha1/namespaces/{namespace}/finetunejobs")
    plane.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0")


@pytest.fixture(scope="session")
def house_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The sandbox's Hub with its own models and data sets."""
    root = tmp_path_factory.mktemp("hub")
    furnish(root)
    with Hub(root) as served:
        yield served


@pytest.fixture(scope="session")
def socket(tmp_path_factory: pytest.TempPathFactory, house_hub: Hub) -> Iterator[Path]:
    """Where trainers are forked; the Hub's libraries read its address and their cache's as they are imported."""
    cache = tmp_path_factory.mktemp("huggingface")
    with forkservers(tmp_path_factory.mktemp("forkservers"), HF_ENDPOINT=house_hub.url, HF_HOME=str(cache)) as ranks:
        yield ranks
