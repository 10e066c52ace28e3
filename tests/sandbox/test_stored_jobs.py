from typing import Any

import pytest
from finetune_operator.cluster.port import JOB, Manifest
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.memory_api import MemoryApi
from finetune_sandbox.real_api import real_api

STATUS: dict[str, Any] = {"attempt": 1, "phase": "Running", "unknown": 1, "restarts": {"failures": 1, "unknown": None}}


def job(namespace: str) -> Manifest:
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {
            "task": "text-classification",
            "model": {"uri": "hf://owner/model"},
            "dataset": {"uri": "hf://owner/data", "columns": {"text": ["text"], "label": "label"}},
            "wandb": {"project": "demo", "secretRef": {"name": "wandb"}},
        },
    }


@pytest.mark.control_plane
async def test_a_job_is_stored_in_memory_as_on_a_real_api_server(control_plane: ControlPlane, namespace: str) -> None:
    memory = MemoryApi()
    await memory.create(JOB, job("default"))
    there = await memory.patch_status(JOB, "default", "a", STATUS)
    async with real_api(control_plane.kubeconfig) as real:
        await real.create(JOB, job(namespace))
        stored = await real.patch_status(JOB, namespace, "a", STATUS)
    assert (there["spec"], there["status"]) == (stored["spec"], stored["status"])
