"""W&B may be away: training goes on without it, what is missing is sent later, and no step is trained twice unsaid."""

import pytest

from tests.integration.lab import Lab, job

pytestmark = [pytest.mark.control_plane, pytest.mark.training, pytest.mark.asyncio(loop_scope="session")]


async def test_a_job_trains_while_wandb_is_down_from_the_start_and_its_run_is_whole_in_the_end(lab: Lab) -> None:
    manifest = job("early")
    lab.wandb.pause()
    await lab.apply(manifest)
    word = await lab.says("early", lambda word: word.step >= 20)
    lab.wandb.resume()
    done = await lab.ended("early")
    assert word.tracking_degraded is not None
    assert await lab.difference(done, manifest) is None
    assert done.status.attempt == 1


async def test_a_job_trains_on_when_wandb_goes_away_and_its_run_is_whole_in_the_end(lab: Lab) -> None:
    manifest = job("amid")
    await lab.apply(manifest)
    await lab.reached("amid", step=7)
    lab.wandb.pause()
    await lab.reached("amid", step=45)
    lab.wandb.resume()
    done = await lab.ended("amid")
    assert await lab.difference(done, manifest) is None
    assert done.status.attempt == 1


async def test_a_job_that_cannot_reach_its_checkpoint_waits_rather_than_begin_anew(lab: Lab) -> None:
    manifest = job("cut-off", restart={"backoffSeconds": 1})
    await lab.apply(manifest)
    await lab.reached("cut-off", step=7)
    await lab.api.evict(lab.namespace, "cut-off-1-0")
    await lab.until("cut-off", lambda job: job.status.attempt == 2)
    lab.wandb.pause()
    waits = await lab.until("cut-off", lambda job: job.status.restarts.infrastructure > 0)
    lab.wandb.resume()
    done = await lab.ended("cut-off")
    assert await lab.difference(done, job("twin")) is None
    assert waits.status.last_attempts[0].exit_code == 75
    assert done.status.resume is not None
    assert done.status.resume.lost_steps == 0
