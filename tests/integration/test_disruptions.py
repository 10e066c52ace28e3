"""Whatever takes the pods away, the job comes back by itself and is what it would have been."""

import pytest

from tests.integration.lab import Lab, job

pytestmark = [pytest.mark.control_plane, pytest.mark.training]


async def test_an_evicted_job_is_identical_to_an_undisturbed_one(lab: Lab) -> None:
    await lab.apply(job("evicted"))
    await lab.reached("evicted", step=7)
    await lab.api.evict(lab.namespace, "evicted-1-0")
    disturbed = await lab.ended("evicted")
    await lab.apply(job("undisturbed"))
    undisturbed = await lab.ended("undisturbed")
    assert lab.compared(disturbed, undisturbed).first_difference is None
    assert disturbed.status.restarts.preemptions == 1
