"""What many tests stand on: a real control plane, started once when a test asks for it."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from finetune_sandbox.binaries import BinaryUnavailable
from finetune_sandbox.control_plane import ControlPlane

CRDS = Path(__file__).parent.parent / "crds"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real Kubernetes without nodes, with our CRD; shared, so a test keeps to its own `namespace`."""
    with at_work(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@contextmanager
def at_work(folder: Path) -> Iterator[ControlPlane]:
    """A control plane with our CRD, while the block lasts."""
    plane = ControlPlane(folder)
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
    """A namespace of the test's own, removed behind it."""
    name = control_plane.namespace(f"test-{next(_numbers)}")
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
