"""Every example is a job that trains, is preempted and ends as one that nobody disturbed.

Each is applied as it stands, but for the number and the size of its steps; a twin runs at the same time.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.port import SECRET, Manifest
from finetune_sandbox.comparison import Comparison

from tests.integration.lab import Lab

pytestmark = [pytest.mark.control_plane, pytest.mark.training, pytest.mark.asyncio(loop_scope="session")]

OF_PROGRAMS = frozenset({"own-program"})
"""Their steps are their own affair; `tests/trainer/test_program.py` runs them."""
OF_ARTIFACTS = frozenset({"from-artifact"})
"""They need what another job has left; `tests/trainer/test_sources.py` runs them."""
OF_BUCKETS = frozenset({"buckets"})
"""They need a store; `tests/trainer/test_buckets.py` runs them."""
ELSEWHERE = OF_PROGRAMS | OF_ARTIFACTS | OF_BUCKETS
EXAMPLES = sorted(p for p in (Path(__file__).parents[2] / "examples").glob("*.yaml") if p.stem not in ELSEWHERE)
TOKEN = {"HF_TOKEN": "hf_lab"}
ALONE, TOGETHER = 32, 12
"""Steps: one process makes forty a second, and the eviction must come before the end; several processes make few."""
SMALL = {"per_device_train_batch_size": 2, "logging_steps": 1}


def shrunk(manifest: Manifest, name: str) -> Manifest:
    """The job under a name, with few small steps and a checkpoint now and then."""
    spec = {field: value for field, value in manifest["spec"].items() if field != "globalBatchSize"}
    steps = ALONE if spec["compute"] == {"nodes": 1, "gpusPerNode": 1} else TOGETHER
    by_steps = {field: steps // 2 for field in ("eval_steps", "save_steps") if field in spec["training"]}
    data = spec["dataset"]
    few = {
        "dataset": data | {"maxSamples": data.get("maxSamples", {}) | {"evaluation": 8}},
        "training": spec["training"] | SMALL | {"max_steps": steps} | by_steps,
        "checkpoint": spec.get("checkpoint", {}) | {"everySteps": steps // 4},
    }
    return {**manifest, "metadata": {**manifest["metadata"], "name": name}, "spec": {**spec, **few}}


def steps_of(job: FineTuneJob) -> tuple[int, int | None]:
    """How many steps were made, of how many."""
    assert job.status.progress is not None
    return job.status.progress.step, job.status.progress.max_steps


def claimed(lab: Lab, claim: str) -> tuple[dict[str, Any], ...]:
    """A claim and the volume that it is bound to, as a cluster's storage provides them."""
    size = {"storage": "1Gi"}
    name = f"{lab.namespace}-{claim}"
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"capacity": size, "hostPath": {"path": str(lab.folder / name)}, **common}
    wish = {"resources": {"requests": size}, "volumeName": name, **common}
    metadata = {"name": claim, "namespace": lab.namespace}
    return (
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": wish},
    )


async def preempted(lab: Lab, job: Manifest) -> tuple[FineTuneJob, FineTuneJob]:
    """The job, of which a pod was taken away while it trained, and its twin, at their ends."""
    taken, spared, nodes = job["metadata"]["name"], "undisturbed", job["spec"]["compute"]["nodes"]
    await lab.apply(shrunk(job, taken))
    await lab.apply(shrunk(job, spared))
    await lab.reached(taken, step=1)
    await lab.api.evict(lab.namespace, f"{taken}-1-{nodes - 1}")
    return await lab.ended(taken), await lab.ended(spared)


@pytest.mark.parametrize("text", [path.read_text() for path in EXAMPLES], ids=[path.stem for path in EXAMPLES])
async def test_an_example_that_is_preempted_ends_as_one_that_is_not(lab: Lab, text: str) -> None:
    lab.plane.apply(*claimed(lab, "checkpoints"), *claimed(lab, "models"))
    await lab.api.create(SECRET, {"metadata": {"name": "hub", "namespace": lab.namespace}, "stringData": TOKEN})
    job, *others = yaml.safe_load_all(text)
    for other in others:
        await lab.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(other))
    async with lab.another_node("gpu-node-of-four", gpus=4):
        done, twin = await preempted(lab, job)
    difference = Comparison(left=lab.left(done), right=lab.left(twin)).first_difference
    assert (done.status.restarts.preemptions, difference) == (1, None)
    assert steps_of(done) == steps_of(twin)
    gang = [f"{done.metadata.name}-2-{rank}" for rank in range(job["spec"]["compute"]["nodes"])]
    assert sorted(pod["metadata"]["name"] for pod in await lab.pods(done.metadata.name)) == gang
