"""A program of the author's own as a job: its own image's Python, a script from a ConfigMap, preempted once."""

from typing import Any

import pytest
from finetune_operator.cluster.port import Manifest
from finetune_operator.names import run_id

from tests.integration.lab import Lab

pytestmark = [pytest.mark.control_plane, pytest.mark.training, pytest.mark.asyncio(loop_scope="session")]

STEPS, WAITS = 40, 20
SCRIPT = f"""
import pathlib, sys, time
from finetune_trainer import program
start = program.resume_from()
step = int((start / "step").read_text()) if start else 0
while step < {STEPS}:
    step += 1
    program.progress(step, {STEPS}, loss=1 / step)
    while step == {WAITS} and start is None and not program.should_stop():
        time.sleep(0.01)
    stop = program.should_stop()
    if stop or step % 10 == 0:
        folder = pathlib.Path("fresh")
        folder.mkdir()
        (folder / "step").write_text(str(step))
        program.checkpoint(step, folder)
    if stop:
        sys.exit(1)
"""


def job(command: list[str], **spec: Any) -> Manifest:
    """A job whose program is mounted at /program."""
    mounted = {
        "volumes": [{"name": "program", "configMap": {"name": "program"}}],
        "volumeMounts": [{"name": "program", "mountPath": "/program"}],
        "terminationGracePeriodSeconds": 30,
    }
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "own"},
        "spec": {
            "program": {"command": command},
            "podTemplate": mounted,
            "restart": {"backoffSeconds": 0, "maxFailures": 0},
            "wandb": {"project": "lab", "secretRef": {"name": "wandb"}},
            **spec,
        },
    }


def mount(lab: Lab, script: str) -> None:
    """Create the ConfigMap with the script."""
    metadata = {"name": "program", "namespace": lab.namespace}
    lab.plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"loop.py": script}})


async def test_a_program_that_is_preempted_goes_on_where_it_stopped(lab: Lab) -> None:
    mount(lab, SCRIPT)
    await lab.apply(job(["python", "/program/loop.py"]))
    await lab.reached("own", WAITS)
    await lab.api.evict(lab.namespace, "own-1-0")
    done = await lab.ended("own")

    assert done.status.restarts.preemptions == 1
    assert done.status.progress is not None
    assert (done.status.progress.step, done.status.progress.max_steps) == (STEPS, STEPS)
    assert done.status.resume is not None
    assert (done.status.resume.from_step, done.status.resume.lost_steps) == (WAITS, 0)
    assert done.status.checkpoint is not None
    assert f"/checkpoint-{run_id(done.metadata.uid)}:" in (done.status.checkpoint.artifact or "")


async def test_a_program_that_fails_is_told_with_its_last_line(lab: Lab) -> None:
    mount(lab, "raise SystemExit('The data are not where they should be.')")
    await lab.apply(job(["python", "/program/loop.py"]))
    failed = await lab.until("own", lambda seen: seen.status.phase == "Failed")
    described = await lab.kubectl("describe", "ftj", "own")

    assert "The data are not where they should be" in " ".join(described.split())
    assert failed.status.attempt == 1
