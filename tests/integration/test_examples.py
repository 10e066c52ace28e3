"""Every example is a job that trains: applied as it stands, but for the number of its steps."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_operator.cluster.port import Manifest

from tests.integration.lab import Lab

pytestmark = [pytest.mark.control_plane, pytest.mark.training, pytest.mark.asyncio(loop_scope="session")]

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
FEW = {"max_steps": 3, "per_device_train_batch_size": 2, "eval_strategy": "no"}


def shrunk(manifest: Manifest) -> Manifest:
    """The job with three small steps."""
    spec = {name: value for name, value in manifest["spec"].items() if name != "globalBatchSize"}
    return {**manifest, "spec": {**spec, "training": spec["training"] | FEW}}


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


@pytest.mark.parametrize("text", [path.read_text() for path in EXAMPLES], ids=[path.stem for path in EXAMPLES])
async def test_an_example_trains_to_its_end(lab: Lab, text: str) -> None:
    lab.plane.apply(*claimed(lab, "checkpoints"))
    job, *others = yaml.safe_load_all(text)
    for other in others:
        await lab.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(other))
    async with lab.another_node("gpu-node-of-two", gpus=2):
        await lab.apply(shrunk(job))
        done = await lab.ended(job["metadata"]["name"])
    assert done.status.progress is not None
    assert done.status.progress.step == FEW["max_steps"]
    assert len(lab.left(done).weights) == 1
