"""Three ways to bring about four pods: a bare client, the built-in Job, and a FineTuneJob."""

import asyncio
from collections.abc import Awaitable, Callable

from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.build.attempt import Attempt
from finetune_operator.build.config_map import config_map
from finetune_operator.build.pods import pods
from finetune_operator.build.service import service
from finetune_operator.cluster.observe import KINDS, parsed
from finetune_operator.cluster.port import JOB, Manifest
from finetune_sandbox.kwok import ADDRESS_LABEL

from bench.arrivals import BATCH_JOB
from bench.cluster import CONFIG, Bench
from bench.network import NOBODY

GANG = 4

Act = Callable[[], Awaitable[Manifest | None]]
"""What is timed: everything is rendered before."""
Contender = Callable[[Bench, str, str], Act]
"""An act for a client, a namespace and a name."""


def manifest(namespace: str, name: str, address: str = NOBODY, nodes: int = GANG) -> Manifest:
    """A FineTuneJob of one-GPU pods, which all say that they have this address."""
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "task": "text-classification",
            "model": {"uri": "hf://google-bert/bert-base-uncased"},
            "dataset": {
                "uri": "hf://nyu-mll/glue",
                "config": "mrpc",
                "columns": {"text": ["sentence1", "sentence2"], "label": "label"},
            },
            "training": {
                "num_train_epochs": 3,
                "per_device_train_batch_size": 32,
                "learning_rate": 2.0e-5,
                "eval_strategy": "epoch",
                "bf16": True,
            },
            "compute": {"nodes": nodes, "gpusPerNode": 1},
            "podTemplate": {"labels": {ADDRESS_LABEL: address}},
            "wandb": {"project": "bench", "secretRef": {"name": "wandb"}},
        },
    }


def rendered(namespace: str, name: str, nodes: int = GANG) -> FineTuneJob:
    """A FineTuneJob as the operator would read it."""
    job = manifest(namespace, name, nodes=nodes)
    job["metadata"] |= {"uid": name, "resourceVersion": "1", "generation": 1}
    job["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return parsed(job)


def orphan(owned: Manifest) -> Manifest:
    """The object without owner: with one that does not exist, the garbage collector would take it."""
    metadata = {field: value for field, value in owned["metadata"].items() if field != "ownerReferences"}
    return owned | {"metadata": metadata}


def bare(api: Bench, namespace: str, name: str) -> Act:
    """The same objects as a FineTuneJob's, without owner: what pods mount and meet by first, then all pods at once."""
    job = rendered(namespace, name)
    first = [orphan(each) for each in (config_map(job, CONFIG), service(job))]
    gang = [orphan(each) for each in pods(job, CONFIG, Attempt(number=1))]

    async def act() -> None:
        for batch in (first, gang):
            await asyncio.gather(*(api.create(KINDS[each["kind"]], each) for each in batch))

    return act


def indexed_job(api: Bench, namespace: str, name: str) -> Act:
    """A Job of four such pods, with nothing beside it."""
    pod = orphan(pods(rendered(namespace, name), CONFIG, Attempt(number=1))[0])
    spec = {field: value for field, value in pod["spec"].items() if field not in {"hostname", "volumes"}}
    # Nothing is mounted: no ConfigMap is created here.
    spec["containers"] = [{k: v for k, v in each.items() if k != "volumeMounts"} for each in spec["containers"]]
    job = {
        "apiVersion": BATCH_JOB.api_version,
        "kind": BATCH_JOB.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "completions": GANG,
            "parallelism": GANG,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {"metadata": {"labels": {ADDRESS_LABEL: NOBODY}}, "spec": spec},
        },
    }
    return lambda: api.create(BATCH_JOB, job)


def fine_tune_job(api: Bench, namespace: str, name: str) -> Act:
    """A FineTuneJob, which the operator sees to."""
    job = manifest(namespace, name)
    return lambda: api.create(JOB, job)


CONTENDERS: dict[str, Contender] = {"bare": bare, "indexed Job": indexed_job, "FineTuneJob": fine_tune_job}
