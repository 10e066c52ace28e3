"""run.json in a ConfigMap: what to train, one immutable object per generation of the spec."""

import json
from typing import Any, TypeVar

from finetune_trainer.contract import environment as contract
from finetune_trainer.contract.model import Model
from finetune_trainer.contract.program import ProgramRun
from finetune_trainer.contract.run_config import JobIdentity, RunCompute, RunConfig
from finetune_trainer.contract.tracking import HubSettings, WandbSettings

from finetune_operator import names
from finetune_operator.api.v1alpha1 import Compute, FineTuneJob, FineTuneJobSpec
from finetune_operator.build import ownership
from finetune_operator.build.manifest import Manifest
from finetune_operator.config import Config

_M = TypeVar("_M", bound=Model)

_PASSED_ON = (
    "task",
    "model",
    "dataset",
    "tokenizer",
    "training",
    "global_batch_size",
    "peft",
    "preference",
    "distributed",
    "checkpoint",
    "evaluation",
    "extensions",
    "output",
)
"""The blocks that the trainer gets as they are; the others are the operator's or are cut below."""


def config_map(job: FineTuneJob, config: Config) -> Manifest:
    """The ConfigMap of the job's present generation."""
    name = names.config_map_name(job.metadata.name, job.metadata.generation)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ownership.metadata(job.metadata, name),
        "immutable": True,
        "data": {contract.RUN_CONFIG_FILE: _text(run_config(job, config))},
    }


def run_config(job: FineTuneJob, config: Config) -> RunConfig | ProgramRun:
    """What the trainer is told; nothing of it says where a secret is."""
    spec = job.spec
    common: dict[str, Any] = {
        "schema_version": 1,
        "job": _identity(job),
        "run_id": names.run_id(job.metadata.uid),
        "wandb": _wandb(job, config),
        "hub": _hub(spec, config),
        "compute": _compute(spec.compute),
        "grace_period_seconds": spec.pod_template.termination_grace_period_seconds,
        "hang_timeout_seconds": spec.restart.hang_timeout_seconds,
    }
    passed_on = {field: getattr(spec, field) for field in _PASSED_ON if field in spec.model_fields_set}
    if spec.program is not None:
        return ProgramRun(program=spec.program, checkpoint=spec.checkpoint, **common)
    return RunConfig(**common, **passed_on)


def _text(value: RunConfig | ProgramRun) -> str:
    """JSON that says what the author said: no defaults spelled out, keys in one order."""
    return json.dumps(value.model_dump(mode="json", exclude_unset=True), indent=2, sort_keys=True) + "\n"


def _identity(job: FineTuneJob) -> JobIdentity:
    meta = job.metadata
    return JobIdentity(name=meta.name, namespace=meta.namespace, uid=meta.uid, generation=meta.generation)


def _wandb(job: FineTuneJob, config: Config) -> WandbSettings:
    wandb = job.spec.wandb
    said = _cut(wandb, WandbSettings)
    name_comes_later = "WANDB_NAME" in _names_of_variables(job.spec)
    ours = {
        "name": said.name or (None if name_comes_later else job.metadata.name),
        "base_url": said.base_url or config.wandb_base_url,
    }
    return said.model_copy(update={field: value for field, value in ours.items() if value})


def _names_of_variables(spec: FineTuneJobSpec) -> set[str]:
    secret = spec.wandb.secret_ref
    return {str(v.get("name")) for v in spec.pod_template.env} | set(secret.extra_keys if secret else ())


def _hub(spec: FineTuneJobSpec, config: Config) -> HubSettings:
    endpoint = spec.hub.endpoint or config.hub_endpoint
    return HubSettings(endpoint=endpoint) if endpoint else HubSettings()


def _compute(compute: Compute) -> RunCompute:
    processes = max(1, compute.gpus_per_node)
    threads = max(1, (compute.cpus_per_node or 1) // processes)
    return RunCompute(nodes=compute.nodes, processes_per_node=processes, threads_per_process=threads)


def _cut(value: Model, model: type[_M]) -> _M:
    """The part of a value that `model` knows."""
    return model.model_validate(value.model_dump(include=set(model.model_fields), exclude_unset=True))
