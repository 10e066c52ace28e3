"""What the kubelet refuses or kills is told in the job's conditions, with the next step."""

from collections.abc import Mapping
from typing import Any

import pytest
from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.v1alpha1 import FineTuneJob

from tests.e2e.stage import Stage, example

pytestmark = pytest.mark.e2e

NAME = "bert-mrpc"
WANDB = example(NAME)["spec"]["wandb"]

# What the author wrote, the reason that the job gives, and a part of its message.
WRONG: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "the image is absent": ({"image": "127.0.0.1:5000/absent:1"}, "ImagePullFailed", "spec.image"),
    "the Secret is absent": (
        {"wandb": {**WANDB, "secretRef": {"name": "absent"}}},
        "SecretNotFound",
        "kubectl create secret generic absent",
    ),
    "the Secret has no such key": (
        {"wandb": {**WANDB, "secretRef": {"name": "wandb", "key": "TOKEN"}}},
        "SecretKeyNotFound",
        'The Secret "wandb" has no key TOKEN.',
    ),
    "the memory does not do": (
        {"compute": {"nodes": 1, "gpusPerNode": 1, "memoryPerNode": "256Mi"}, "restart": {"maxFailures": 0}},
        "OOMKilled",
        "memoryPerNode",
    ),
}


@pytest.mark.parametrize(("spec", "expected", "step"), WRONG.values(), ids=WRONG.keys())
def test_trouble_with_a_pod_is_told_with_the_next_step(
    stage: Stage, spec: dict[str, Any], expected: str, step: str
) -> None:
    stage.apply(example(NAME, **spec))
    stage.until(NAME, lambda job: told(job)[0] == expected)
    assert step in told(stage.job(NAME))[1]


def told(job: FineTuneJob) -> tuple[str, str]:
    """Reason and message of the Ready condition."""
    ready = [each for each in job.status.conditions if each.type is ConditionType.READY]
    return next(((each.reason, each.message) for each in ready), ("", ""))
