"""Pods on the real node that find each other by DNS and live and die together."""

import pytest
from finetune_operator.cluster.port import Manifest

from tests.e2e.stage import Stage, example

pytestmark = pytest.mark.e2e

NAME = "ddp-gang"


@pytest.mark.usefixtures("two_gpus")
def test_a_gang_of_two_pods_with_ddp_that_loses_one_starts_again_together_and_is_identical(stage: Stage) -> None:
    manifest = shortened(example(NAME))
    stage.apply(manifest)
    stage.reached(NAME, step=6)
    stage.evict(f"{NAME}-1-1")
    done = stage.completed(NAME)
    # At its end one member may finish before the other; whether a pass sees the gang stop then is chance.
    *story, last = stage.reasons(NAME)
    assert story in (["Creating", "Stopping", "Preempted"], ["Creating", "Stopping", "Preempted", "Stopping"])
    assert last == "Finished"
    assert (done.status.attempt, done.status.restarts.preemptions, done.status.restarts.total) == (2, 1, 1)
    assert done.status.last_attempts[1].reason == "EvictionByEvictionAPI"
    assert done.status.resume is not None
    assert done.status.resume.from_step >= 6
    assert done.status.resume.lost_steps == 0
    assert sorted(pod["metadata"]["name"] for pod in stage.pods(NAME)) == [f"{NAME}-2-0", f"{NAME}-2-1"]
    assert stage.difference(NAME, manifest) is None


def shortened(manifest: Manifest) -> Manifest:
    """The same for one epoch: two ranks share the cores with everything else."""
    training = {**manifest["spec"]["training"], "num_train_epochs": 1}
    return {**manifest, "spec": {**manifest["spec"], "training": training}}
