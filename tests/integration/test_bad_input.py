"""A user's mistake is told in `kubectl describe`, with the next step, without a crash loop; mended, the job goes on."""

from collections.abc import Mapping
from typing import Any

import pytest
from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.port import POD, Manifest

from tests.integration.lab import ABSENT_IMAGE, IMAGE, Lab, job

pytestmark = [pytest.mark.control_plane, pytest.mark.training, pytest.mark.asyncio(loop_scope="session")]

BRIEF = {"max_steps": 2, "per_device_train_batch_size": 2}
GLUE = job("good")["spec"]["dataset"]


def brief(name: str, **spec: Any) -> Manifest:
    """A job of two steps."""
    return job(name, training=BRIEF, **spec)


def errand(name: str, **spec: Any) -> Manifest:
    """A job that the operator treats as any other, and that costs no training: a program that ends at once."""
    manifest = job(name, program={"command": ["python", "-c", "pass"]}, **spec)
    for field in ("task", "model", "dataset", "training", "checkpoint"):
        del manifest["spec"][field]
    return manifest


def reason(seen: FineTuneJob) -> str | None:
    """The reason of the Ready condition."""
    return next((c.reason for c in seen.status.conditions if c.type is ConditionType.READY), None)


async def told(lab: Lab, name: str, expected: str) -> str:
    """The sentence that `kubectl describe` shows, as soon as the job has that reason."""
    seen = await lab.until(name, lambda seen: reason(seen) == expected)
    message = next(c.message for c in seen.status.conditions if c.type is ConditionType.READY)
    described = await lab.kubectl("describe", "ftj", name)
    assert " ".join(message.split()) in " ".join(described.split())
    return message


# What the author wrote, the reason that the job gives, and a part of the next step that its message names.
WRONG: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "the data set is absent": ({"dataset": GLUE | {"uri": "hf://nyu-mll/gleu"}}, "DatasetNotFound", "dataset.uri"),
    "the configuration is absent": ({"dataset": GLUE | {"config": "mprc"}}, "DatasetConfigNotFound", "mrpc"),
    "a column is absent": (
        {"dataset": GLUE | {"columns": {"text": ["sentence1", "sentence3"], "label": "label"}}},
        "ColumnNotFound",
        "sentence2",
    ),
    "the model is unknown": ({"model": {"uri": "hf://google-bert/bart"}}, "ModelNotFound", "model.uri"),
}


@pytest.mark.parametrize(("spec", "expected", "step"), WRONG.values(), ids=WRONG.keys())
async def test_what_the_trainer_refuses_stalls_at_once(
    lab: Lab, spec: dict[str, Any], expected: str, step: str
) -> None:
    await lab.apply(brief("wrong", **spec))
    message = await told(lab, "wrong", expected)
    stalled = await lab.job("wrong")
    assert step in message
    assert (stalled.status.phase, stalled.status.attempt) == ("Failed", 1)


async def test_a_correction_mends_what_the_trainer_refused(lab: Lab) -> None:
    spec, expected, _ = WRONG["a column is absent"]
    await lab.apply(brief("mended", **spec))
    await told(lab, "mended", expected)
    await lab.apply(brief("mended"))
    done = await lab.ended("mended")
    assert done.status.attempt == 2


FILES: Mapping[str, tuple[str, str, str]] = {
    "a file is unreadable": ("train.jsonl", '{"text": "a", "label": 0}\n{"text"', "UnreadableFile"),
    "a label is out of range": (
        "train.jsonl",
        '{"text": "a", "label": 0}\n{"text": "b", "label": 7}\n',
        "LabelOutOfRange",
    ),
}


@pytest.mark.parametrize(("file", "content", "expected"), FILES.values(), ids=FILES.keys())
async def test_a_bad_file_stalls_at_once_with_its_name(lab: Lab, file: str, content: str, expected: str) -> None:
    metadata = {"name": "rows", "namespace": lab.namespace}
    lab.plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {file: content}})
    mounted = {
        "volumes": [{"name": "rows", "configMap": {"name": "rows"}}],
        "volumeMounts": [{"name": "rows", "mountPath": "/data"}],
    }
    columns = {"text": ["text"], "label": "label"}
    dataset = {"uri": "file:///data", "columns": columns, "labels": ["no", "yes"]}
    await lab.apply(brief("bad-file", dataset=dataset, podTemplate=mounted))
    await told(lab, "bad-file", expected)
    assert (await lab.job("bad-file")).status.attempt == 1


async def test_a_missing_secret_is_named_and_once_it_is_there_the_job_trains(lab: Lab) -> None:
    await lab.apply(errand("no-secret", wandb={"project": "lab", "secretRef": {"name": "absent"}}))
    message = await told(lab, "no-secret", "SecretNotFound")
    await lab.keep_key("absent")
    done = await lab.ended("no-secret")
    assert "kubectl create secret generic absent" in message
    assert done.status.attempt == 1


async def test_a_missing_key_is_named_and_a_corrected_reference_mends_it(lab: Lab) -> None:
    await lab.apply(errand("no-key", wandb={"project": "lab", "secretRef": {"name": "wandb", "key": "TOKEN"}}))
    message = await told(lab, "no-key", "SecretKeyNotFound")
    await lab.apply(errand("no-key"))
    done = await lab.ended("no-key")
    assert 'The Secret "wandb" has no key TOKEN.' in message
    assert done.status.restarts.total == 0


async def test_a_wrong_key_stalls_at_once(lab: Lab) -> None:
    await lab.keep_key("stale", key="x" * 40)
    await lab.apply(brief("stale-key", wandb={"project": "lab", "secretRef": {"name": "stale"}}))
    message = await told(lab, "stale-key", "WandbKeyRefused")
    assert "x" * 40 not in message
    assert (await lab.job("stale-key")).status.attempt == 1


async def test_more_gpus_than_any_node_has_are_told_in_the_schedulers_words_and_fewer_mend_it(lab: Lab) -> None:
    await lab.apply(errand("greedy", compute={"gpusPerNode": 64}))
    message = await told(lab, "greedy", "Unschedulable")
    await lab.apply(errand("greedy"))
    done = await lab.ended("greedy")
    assert "Insufficient nvidia.com/gpu" in message
    assert "compute" in message
    assert done.status.restarts.total == 0


async def test_an_absent_image_ends_within_its_budget_and_another_mends_it(lab: Lab) -> None:
    await lab.apply(errand("no-image", image=ABSENT_IMAGE, restart={"maxInfrastructure": 1, "backoffSeconds": 0}))
    failed = await lab.until("no-image", lambda seen: seen.status.phase == "Failed")
    message = await told(lab, "no-image", "ImagePullFailed")
    await lab.apply(errand("no-image", image=IMAGE))
    await lab.ended("no-image")
    assert "spec.image" in message
    assert failed.status.attempt == 2


async def test_a_stranger_with_a_name_that_the_job_needs_is_named_and_left_alone(lab: Lab) -> None:
    container = {"name": "other", "image": IMAGE, "command": ["sleep", "600"]}
    metadata = {"name": "taken-1-0", "namespace": lab.namespace}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    stranger = await lab.api.create(POD, {"metadata": metadata, "spec": spec})
    await lab.apply(errand("taken"))
    message = await told(lab, "taken", "NameTaken")
    left = await lab.api.get(POD, lab.namespace, "taken-1-0")
    await lab.api.delete(POD, lab.namespace, "taken-1-0")
    await lab.goes("taken-1-0")
    await lab.edit("taken", ttlSecondsAfterFinished=3600)  # Otherwise it looks again after fifteen seconds.
    done = await lab.ended("taken")
    assert "Pod taken-1-0" in message
    assert left is not None
    assert left["metadata"]["uid"] == stranger["metadata"]["uid"]
    assert done.status.restarts.total == 0
