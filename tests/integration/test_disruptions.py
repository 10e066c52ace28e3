"""Whatever takes the pods away, the job comes back by itself and is what it would have been."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
import yaml
from finetune_operator.cluster.port import POD, Manifest
from finetune_operator.names import run_id

from tests.integration.lab import Lab, job

pytestmark = [pytest.mark.control_plane, pytest.mark.training, pytest.mark.asyncio(loop_scope="session")]


async def test_a_job_preempted_by_the_scheduler_comes_back_by_itself_and_is_identical(lab: Lab) -> None:
    manifest = job("preempted")
    await lab.apply(manifest)
    await lab.reached("preempted", step=7)
    important = await lab.takes_the_gpu()
    await lab.until("preempted", lambda job: "Unschedulable" in {c.reason for c in job.status.conditions})
    await lab.api.delete(POD, lab.namespace, important)
    done = await lab.ended("preempted")
    assert await lab.difference(done, manifest) is None
    assert done.status.last_attempts[1].reason == "PreemptionByScheduler"
    assert await lab.story_in_events("preempted") == ["Creating", "Stopping", "Preempted", "Unschedulable", "Finished"]


async def evicted(lab: Lab, pod: str) -> None:
    await lab.api.evict(lab.namespace, pod)


async def deleted_by_a_person(lab: Lab, pod: str) -> None:
    await lab.kubectl("delete", "pod", pod, "--wait=false")


@pytest.mark.parametrize("harm", [evicted, deleted_by_a_person])
async def test_a_job_whose_pod_is_taken_with_notice_loses_no_step_and_leaves_no_trace(
    lab: Lab, harm: Callable[[Lab, str], Awaitable[None]]
) -> None:
    manifest = job("taken", wandb={"project": lab.namespace, "secretRef": {"name": "wandb"}})
    await lab.apply(manifest)
    await lab.reached("taken", step=7)
    await harm(lab, "taken-1-0")
    done = await lab.ended("taken")
    assert await lab.difference(done, manifest) is None
    assert (done.status.restarts.preemptions, done.status.restarts.total) == (1, 1)
    assert done.status.resume is not None
    assert done.status.resume.lost_steps == 0
    assert await lab.story_in_events("taken") == ["Creating", "Stopping", "Preempted", "Finished"]
    await nothing_is_left_on(lab, manifest)
    assert [run.state for run in lab.wandb.runs(lab.namespace)] == ["finished"]


async def nothing_is_left_on(lab: Lab, manifest: Manifest) -> None:
    """Assert that a job's life has written nothing to it but its status."""
    kept = yaml.safe_load(await lab.kubectl("get", "ftj", manifest["metadata"]["name"], "-o", "yaml"))["metadata"]
    assert await lab.kubectl("diff", "-f", "-", stdin=yaml.safe_dump(manifest)) == ""
    assert set(kept["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}
    assert "finalizers" not in kept


async def test_a_trainer_that_is_killed_loses_what_it_did_since_its_newest_checkpoint_and_says_so(lab: Lab) -> None:
    often = {"env": [{"name": "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "value": "1"}]}
    training = {**job("killed")["spec"]["training"], "max_steps": 120, "eval_strategy": "no"}
    manifest = job("killed", checkpoint={"everySteps": 30}, training=training, podTemplate=often)
    killed = run_id((await lab.apply(manifest)).metadata.uid)
    saved = await lab.says("killed", lambda word: word.checkpoint is not None and word.checkpoint.step >= 30)
    last = await lab.says("killed", lambda word: word.step > saved.step and lab.sent(killed) > saved.step)
    assert last.checkpoint is not None
    lab.node.kill(lab.namespace, "killed-1-0")
    await lab.until("killed", lambda job: job.status.attempt > 1)
    over = datetime.now(UTC)
    done = await lab.ended("killed")
    assert await lab.difference(done, manifest) is None
    resume, ended = done.status.resume, done.status.last_attempts[1]
    assert resume is not None
    assert resume.from_step >= last.checkpoint.step
    reached = max(ended.to_step or 0, lab.sent(killed, before=over))
    assert resume.lost_steps == max(0, reached - resume.from_step)


async def test_a_suspended_job_gives_its_gpu_back_and_goes_on_where_it_was(lab: Lab) -> None:
    manifest = job("paused")
    await lab.apply(manifest)
    await lab.reached("paused", step=7)
    await lab.edit("paused", suspend=True)
    asleep = await lab.until("paused", lambda job: job.status.phase == "Suspended")
    important = await lab.takes_the_gpu()
    await lab.runs(important)
    await lab.api.delete(POD, lab.namespace, important)
    await lab.edit("paused", suspend=False)
    done = await lab.ended("paused")
    assert await lab.difference(done, manifest) is None
    assert asleep.status.checkpoint is not None
    assert done.status.resume is not None
    assert (done.status.resume.from_step, done.status.resume.lost_steps) == (asleep.status.checkpoint.step, 0)
    assert await lab.story_in_events("paused") == ["Creating", "Stopping", "Suspended", "Creating", "Finished"]


async def test_a_finished_job_whose_pod_is_deleted_stays_succeeded_and_runs_nothing(lab: Lab) -> None:
    await lab.apply(job("done", training={"max_steps": 2, "per_device_train_batch_size": 2}))
    await lab.ended("done")
    await lab.kubectl("delete", "pod", "done-1-0")
    await lab.edit("done", ttlSecondsAfterFinished=3600)
    looked = await lab.until("done", lambda job: job.status.observed_generation == 2)
    assert (looked.status.phase, looked.status.attempt, await lab.pods("done")) == ("Succeeded", 1, ())


async def test_a_corrupt_newest_checkpoint_is_passed_over_for_the_one_before_and_said(lab: Lab) -> None:
    manifest = job("rotten")
    applied = await lab.apply(manifest)
    await lab.reached("rotten", step=25)
    await lab.edit("rotten", suspend=True)
    asleep = await lab.until("rotten", lambda job: job.status.phase == "Suspended")
    newest = lab.wandb.artifacts(f"checkpoint-{run_id(applied.metadata.uid)}")[-1]
    weights = newest.files["model.safetensors"]
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    await lab.edit("rotten", suspend=False)
    done = await lab.ended("rotten")
    assert await lab.difference(done, manifest) is None
    resume = done.status.resume
    assert resume is not None
    assert asleep.status.checkpoint is not None
    assert resume.from_step < asleep.status.checkpoint.step
    assert f"(step {asleep.status.checkpoint.step})" in (resume.message or "")
    assert resume.lost_steps == asleep.status.checkpoint.step - resume.from_step
