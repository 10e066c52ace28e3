"""Several processes in one attempt: pods that live and die together, ranks that agree on where to stop."""

import pytest

from tests.integration.lab import Lab, job

pytestmark = [pytest.mark.control_plane, pytest.mark.training, pytest.mark.asyncio(loop_scope="session")]

SHORT = {
    "max_steps": 40,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.001,
    "logging_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 10,
}


async def test_a_gang_of_two_pods_that_loses_one_starts_again_together_and_is_identical(lab: Lab) -> None:
    manifest = job("gang", compute={"nodes": 2, "gpusPerNode": 1}, training=SHORT)
    async with lab.another_node("gpu-node-b"):
        await lab.apply(manifest)
        await lab.reached("gang", step=7)
        await lab.api.evict(lab.namespace, "gang-1-1")
        done = await lab.ended("gang")
        assert await lab.difference(done, manifest) is None
    assert (done.status.attempt, done.status.restarts.preemptions) == (2, 1)
    assert sorted(pod["metadata"]["name"] for pod in await lab.pods("gang")) == ["gang-2-0", "gang-2-1"]


async def test_two_ranks_under_zero_2_are_evicted_and_identical(lab: Lab) -> None:
    manifest = job("zero", compute={"gpusPerNode": 2}, training=SHORT, distributed={"deepspeed": {"zeroStage": 2}})
    async with lab.another_node("gpu-node-of-two", gpus=2):
        await lab.apply(manifest)
        await lab.reached("zero", step=7)
        await lab.api.evict(lab.namespace, "zero-1-0")
        done = await lab.ended("zero")
        assert await lab.difference(done, manifest) is None
    assert (done.status.attempt, done.status.restarts.preemptions) == (2, 1)
