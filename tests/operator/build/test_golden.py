"""What is created for a job, compared whole with the YAML beside this file.

After a wanted change write the files anew: `GOLDEN=write pytest tests/operator/build`.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.build.attempt import Attempt
from finetune_operator.build.config_map import config_map
from finetune_operator.build.pods import pods
from finetune_operator.build.service import service
from finetune_operator.config import Config
from finetune_trainer.contract.program import ProgramRun
from finetune_trainer.contract.run_config import RunConfig

GOLDEN = Path(__file__).parent / "golden"
CONFIG = Config(trainer_image="registry.example/trainer:1")
FIRST = Attempt(number=1)
LATER = Attempt(number=3, min_step=120, min_digest="sha256:abc")
SPEC: dict[str, Any] = {
    "task": "text-classification",
    "model": {"uri": "hf://google-bert/bert-base-uncased"},
    "dataset": {
        "uri": "hf://nyu-mll/glue",
        "config": "mrpc",
        "columns": {"text": ["sentence1", "sentence2"], "label": "label"},
    },
    "training": {"num_train_epochs": 3, "learning_rate": 2.0e-5, "bf16": True},
    "wandb": {"project": "huggingface-demo", "secretRef": {"name": "wandb"}},
}
EVERYTHING: dict[str, Any] = {
    "image": "registry.example/mine:2",
    "imagePullPolicy": "Always",
    "compute": {"nodes": 2, "gpusPerNode": 4, "cpusPerNode": 16, "memoryPerNode": "64Gi"},
    "checkpoint": {"everySteps": 50, "volume": {"claimName": "checkpoints", "subPath": "mine"}},
    "wandb": {
        "project": "spec-project",
        "entity": "team",
        "tags": ["a", "b"],
        "mode": "online",
        "baseUrl": "https://wandb.example",
        "logModel": "checkpoint",
        "secretRef": {
            "name": "wandb",
            "key": "token",
            "extraKeys": ["WANDB_PROJECT", "WANDB_HTTP_TIMEOUT", "WANDB_RUN_ID"],
        },
    },
    "hub": {"endpoint": "https://hub.example", "secretRef": {"name": "hub"}},
    "podTemplate": {
        "labels": {"team": "nlp", "finetune.dev/job": "not-theirs"},
        "annotations": {"note": "hello"},
        "nodeSelector": {"gpu": "a100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "low",
        "runtimeClassName": "nvidia",
        "schedulerName": "default-scheduler",
        "imagePullSecrets": ["registry"],
        "env": [
            {"name": "NCCL_DEBUG", "value": "INFO"},
            {"name": "WANDB_PROJECT", "value": "not-theirs"},
            {"name": "WANDB_SILENT", "value": "true"},
            {"name": "WANDB_RESUME", "value": "never"},
            {"name": "FINETUNE_ATTEMPT", "value": "9"},
        ],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
        "resources": {
            "requests": {"ephemeral-storage": "10Gi", "nvidia.com/gpu": "8"},
            "limits": {"ephemeral-storage": "20Gi"},
        },
        "terminationGracePeriodSeconds": 300,
    },
}
PROGRAM: dict[str, Any] = {
    **dict.fromkeys(("task", "model", "dataset")),
    "training": {},
    "image": "registry.example/mine:2",
    "program": {"command": ["python", "/program/train.py"], "args": ["--output_dir=$(FINETUNE_CHECKPOINT_DIR)"]},
}
CASES: dict[str, tuple[dict[str, Any], Attempt]] = {
    "single_gpu": ({}, FIRST),
    "resumed": ({}, LATER),
    "gang_of_two": ({"compute": {"nodes": 2, "gpusPerNode": 2}}, FIRST),
    "cpu_only": ({"compute": {"gpusPerNode": 0, "cpusPerNode": 4, "memoryPerNode": "8Gi"}}, FIRST),
    "volume": (
        {"checkpoint": {"volume": {"claimName": "checkpoints"}}, "output": {"volume": {"claimName": "models"}}},
        FIRST,
    ),
    "everything": (EVERYTHING, LATER),
    "program": (PROGRAM, LATER),
}


def job(**spec: Any) -> FineTuneJob:
    meta = {"name": "bert-mrpc", "namespace": "team", "uid": "1-2-3", "generation": 4}
    return FineTuneJob.model_validate({"metadata": meta, "spec": SPEC | spec})


def rendered(spec: dict[str, Any], attempt: Attempt) -> str:
    one = job(**spec)
    gang = [service(one)] if one.spec.compute.nodes > 1 else []
    told = config_map(one, CONFIG)
    # As an object, so that a reader of the golden file can read it; the trainer gets JSON.
    told["data"]["run.json"] = json.loads(told["data"]["run.json"])
    manifests = [told, *gang, *pods(one, CONFIG, attempt)]
    return yaml.safe_dump_all(manifests, sort_keys=False)


def environment(node_rank: int = 0, **spec: Any) -> dict[str, Any]:
    container = pods(job(**spec), CONFIG, FIRST)[node_rank]["spec"]["containers"][0]
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


@pytest.mark.parametrize("name", CASES)
def test_what_is_created_is_what_stands_in_the_golden_file(name: str) -> None:
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(rendered(*CASES[name]))
    assert rendered(*CASES[name]) == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_every_pod_passes_pod_security_restricted(name: str) -> None:
    for pod in pods(job(**CASES[name][0]), CONFIG, FIRST):
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & set(spec)


@pytest.mark.parametrize("name", CASES)
def test_the_trainer_can_read_what_it_is_given(name: str) -> None:
    text = config_map(job(**CASES[name][0]), CONFIG)["data"]["run.json"]
    told = ProgramRun if "program" in json.loads(text) else RunConfig
    assert told.model_validate_json(text).job.name == "bert-mrpc"


def test_run_json_says_nothing_of_secrets() -> None:
    text = config_map(job(**EVERYTHING), CONFIG)["data"]["run.json"]
    assert ("secret" in text.lower(), "token" in json.loads(text)["wandb"]) == (False, False)


def test_training_is_passed_on_as_it_was_written() -> None:
    text = config_map(job(), CONFIG)["data"]["run.json"]
    assert json.loads(text)["training"] == {"num_train_epochs": 3, "learning_rate": 2.0e-5, "bf16": True}


def test_the_key_to_wandb_is_on_rank_0_alone() -> None:
    gang = {"compute": {"nodes": 2}}
    ranks = [any(name.startswith("WANDB_API") for name in environment(rank, **gang)) for rank in (0, 1)]
    assert ranks == [True, False]


def test_a_key_of_the_authors_own_reaches_rank_0_alone() -> None:
    spec = {"compute": {"nodes": 2}, "wandb": {}, "podTemplate": {"env": [{"name": "WANDB_API_KEY", "value": "k"}]}}
    assert [environment(rank, **spec).get("WANDB_API_KEY") for rank in (0, 1)] == ["k", None]


def test_the_spec_beats_the_secret_and_the_run_is_always_ours() -> None:
    variables = environment(**EVERYTHING)
    assert variables["WANDB_PROJECT"] == "spec-project"
    assert variables["WANDB_RUN_ID"] == "123"
    assert variables["WANDB_HTTP_TIMEOUT"] == {"secretKeyRef": {"name": "wandb", "key": "WANDB_HTTP_TIMEOUT"}}
    assert "WANDB_RESUME" not in variables


def test_a_project_from_the_secret_is_used_when_the_spec_names_none() -> None:
    variables = environment(wandb={"secretRef": {"name": "wandb", "extraKeys": ["WANDB_PROJECT"]}})
    assert variables["WANDB_PROJECT"] == {"secretKeyRef": {"name": "wandb", "key": "WANDB_PROJECT"}}


def test_a_name_from_the_authors_variables_beats_the_jobs_name() -> None:
    spec: dict[str, Any] = {"podTemplate": {"env": [{"name": "WANDB_NAME", "value": "theirs"}]}}
    assert environment(**spec)["WANDB_NAME"] == "theirs"
    assert "name" not in json.loads(config_map(job(**spec), CONFIG)["data"]["run.json"])["wandb"]


def test_the_operators_mirrors_are_used_where_the_job_names_none() -> None:
    config = Config(trainer_image="t", hub_endpoint="http://hub", wandb_base_url="http://wandb")
    container = pods(job(), config, FIRST)[0]["spec"]["containers"][0]
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert (values["HF_ENDPOINT"], values["WANDB_BASE_URL"]) == ("http://hub", "http://wandb")


def test_the_installations_variables_are_on_every_pod_below_the_jobs_own() -> None:
    house = (("HTTPS_PROXY", "http://proxy"), ("NCCL_DEBUG", "WARN"), ("HOME", "/"), ("FINETUNE_TOKEN", "x"))
    config = Config(trainer_image="t", trainer_env=house)
    spec = {"compute": {"nodes": 2}, "podTemplate": {"env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}}
    plain = pods(job(**spec), Config(trainer_image="t"), FIRST)
    for pod, without in zip(pods(job(**spec), config, FIRST), plain, strict=True):
        ours = {v["name"]: v for v in without["spec"]["containers"][0]["env"]}
        found = {v["name"]: v for v in pod["spec"]["containers"][0]["env"]}
        assert found == ours | {"HTTPS_PROXY": {"name": "HTTPS_PROXY", "value": "http://proxy"}}


def test_every_variable_stands_there_once() -> None:
    names = [v["name"] for v in pods(job(**EVERYTHING), CONFIG, LATER)[0]["spec"]["containers"][0]["env"]]
    assert len(names) == len(set(names))


HARMFUL: dict[str, dict[str, Any]] = {
    "a folder of the node": {"name": "x", "hostPath": {"path": "/"}},
    "a service account's token": {"name": "x", "projected": {"sources": [{"serviceAccountToken": {}}]}},
    "a name of ours": {"name": "work", "emptyDir": {}},
    "nothing": {"name": "x"},
}


@pytest.mark.parametrize("volume", HARMFUL.values(), ids=HARMFUL.keys())
def test_a_volume_that_reaches_too_far_is_left_out(volume: dict[str, Any]) -> None:
    good = job()
    template = good.spec.pod_template.model_copy(
        update={"volumes": (volume,), "volume_mounts": ({"name": volume["name"], "mountPath": "/x"},)}
    )
    bad = good.model_copy(update={"spec": good.spec.model_copy(update={"pod_template": template})})
    pod, plain = pods(bad, CONFIG, FIRST)[0], pods(good, CONFIG, FIRST)[0]
    names = [v["name"] for v in pod["spec"]["volumes"]]
    assert names == [v["name"] for v in plain["spec"]["volumes"]]


def test_a_mount_over_ours_is_left_out() -> None:
    spec = {
        "podTemplate": {
            "volumes": [{"name": "x", "emptyDir": {}}],
            "volumeMounts": [{"name": "x", "mountPath": "/etc/finetune/"}, {"name": "x", "mountPath": "/x"}],
        }
    }
    mounts = pods(job(**spec), CONFIG, FIRST)[0]["spec"]["containers"][0]["volumeMounts"]
    assert [mount["mountPath"] for mount in mounts if mount["name"] == "x"] == ["/x"]


def test_the_commit_that_a_job_is_annotated_with_reaches_the_trainer() -> None:
    one = job()
    meta = one.metadata.model_copy(update={"annotations": {"finetune.dev/git-ref": "abc123"}})
    (pod,) = pods(one.model_copy(update={"metadata": meta}), CONFIG, FIRST)

    assert {"name": "FINETUNE_GIT_REF", "value": "abc123"} in pod["spec"]["containers"][0]["env"]
