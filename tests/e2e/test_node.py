"""The node itself is taken: drained for maintenance, then found broken; the job waits, comes back and is identical."""

from collections.abc import Iterator

import pytest
from finetune_operator.names import LABEL_JOB
from finetune_sandbox.node.node import NAME as NODE

from tests.e2e.stage import Stage, example

pytestmark = pytest.mark.e2e

NAME = "bert-mrpc"
BROKEN = "example.com/gpu=broken:NoExecute"
DRAIN = (f"--pod-selector={LABEL_JOB}", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s")


@pytest.fixture
def usable(stage: Stage) -> Iterator[None]:
    """Whatever the test does to the node, others find it usable."""
    yield
    stage.kubectl("uncordon", NODE)
    if BROKEN.partition("=")[0] in stage.kubectl("get", "node", NODE, "-o", "jsonpath={.spec.taints[*].key}"):
        stage.kubectl("taint", "node", NODE, f"{BROKEN}-")


@pytest.mark.usefixtures("usable")
def test_a_job_whose_node_is_drained_and_then_tainted_waits_each_time_and_is_identical(stage: Stage) -> None:
    manifest = example(NAME)
    stage.apply(manifest)
    stage.reached(NAME, step=15)
    stage.kubectl("drain", NODE, *DRAIN)
    waits(stage, attempt=2)
    stage.kubectl("uncordon", NODE)
    stage.reached(NAME, step=40, attempt=2)
    # Nothing gets the node while the scheduler, the kubelet and the taint's controller may know of different taints.
    stage.kubectl("cordon", NODE)
    stage.kubectl("taint", "node", NODE, BROKEN)
    stage.until_gone(f"{NAME}-2-0")
    stage.kubectl("taint", "node", NODE, f"{BROKEN}-")
    stage.kubectl("uncordon", NODE)
    done = stage.completed(NAME)
    _, *tainted, drained = (each.reason for each in done.status.last_attempts)
    # A pod that gets the node as the taint goes may be taken once more: the scheduler can know of it before the taint's
    # own controller does.
    assert (set(tainted), drained) == ({"DeletionByTaintManager"}, "EvictionByEvictionAPI")
    restarts = done.status.restarts
    assert (done.status.attempt, restarts.preemptions, restarts.failures) == (len(tainted) + 2, len(tainted) + 1, 0)
    assert done.status.resume is not None
    assert done.status.resume.from_step >= 40
    assert done.status.resume.lost_steps == 0
    assert stage.difference(NAME, manifest) is None


def waits(stage: Stage, attempt: int) -> None:
    """Wait until the attempt's pod is there and has no node."""
    stage.until(NAME, lambda job: job.status.phase == "Pending" and job.status.attempt == attempt)
