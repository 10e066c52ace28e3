"""The pods of an attempt. They pass Pod Security `restricted`; of what the author adds, ours wins."""

from finetune_trainer.contract import environment as contract

from finetune_operator import names
from finetune_operator.api.v1alpha1 import FineTuneJob, PodTemplate
from finetune_operator.build import ownership, volumes
from finetune_operator.build.attempt import Attempt
from finetune_operator.build.environment import environment, image
from finetune_operator.build.manifest import Manifest
from finetune_operator.config import Config

USER = 65532
"""The unprivileged user of the trainer's image."""


def pods(job: FineTuneJob, config: Config, attempt: Attempt) -> tuple[Manifest, ...]:
    """The whole gang, rank 0 first."""
    return tuple(pod(job, config, attempt, node_rank) for node_rank in range(job.spec.compute.nodes))


def pod(job: FineTuneJob, config: Config, attempt: Attempt, node_rank: int) -> Manifest:
    """One pod of the gang."""
    name = names.pod_name(job.metadata.name, attempt.number, node_rank)
    labels = {names.LABEL_ATTEMPT: str(attempt.number), names.LABEL_NODE_RANK: str(node_rank)}
    metadata = ownership.metadata(job.metadata, name, labels)
    template = job.spec.pod_template
    metadata["labels"] = template.labels | metadata["labels"]
    if template.annotations:
        metadata["annotations"] = dict(template.annotations)
    spec = _author_spec(template) | _spec(job, name) | {"containers": [_container(job, config, attempt, node_rank)]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _author_spec(template: PodTemplate) -> Manifest:
    """The fields of the pod's spec that are the author's to choose."""
    said: Manifest = {
        "nodeSelector": dict(template.node_selector),
        "tolerations": list(template.tolerations),
        "affinity": template.affinity,
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name,
        "schedulerName": template.scheduler_name,
        "imagePullSecrets": [{"name": name} for name in template.image_pull_secrets],
    }
    return {field: value for field, value in said.items() if value}


def _spec(job: FineTuneJob, name: str) -> Manifest:
    gang = {"hostname": name, "subdomain": names.service_name(job.metadata.name)}
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": job.spec.pod_template.termination_grace_period_seconds,
        "automountServiceAccountToken": False,
        # A Service named `wandb` would otherwise put WANDB_SERVICE_HOST into the trainer's environment.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes.volumes(job),
    } | (gang if job.spec.compute.nodes > 1 else {})


def _container(job: FineTuneJob, config: Config, attempt: Attempt, node_rank: int) -> Manifest:
    return {
        "name": names.CONTAINER,
        "image": image(job, config),
        "imagePullPolicy": job.spec.image_pull_policy,
        "command": ["python", "-m", "finetune_trainer", f"{contract.CONFIG_DIR}/{contract.RUN_CONFIG_FILE}"],
        "env": environment(job, config, attempt, node_rank),
        "ports": _ports(job, node_rank),
        "resources": _resources(job),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": contract.DEFAULT_TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": volumes.volume_mounts(job),
    }


def _ports(job: FineTuneJob, node_rank: int) -> list[Manifest]:
    progress = {"name": "progress", "containerPort": contract.DEFAULT_PROGRESS_PORT, "protocol": "TCP"}
    rendezvous = {"name": "rendezvous", "containerPort": contract.RENDEZVOUS_PORT, "protocol": "TCP"}
    if node_rank > 0:
        return []
    return [progress, rendezvous] if job.spec.compute.nodes > 1 else [progress]


def _resources(job: FineTuneJob) -> Manifest:
    compute = job.spec.compute
    gpus = {compute.gpu_resource: str(compute.gpus_per_node)} if compute.gpus_per_node else {}
    memory = {"memory": compute.memory_per_node} if compute.memory_per_node else {}
    cpus = {"cpu": str(compute.cpus_per_node)} if compute.cpus_per_node else {}
    said = job.spec.pod_template.resources
    merged: Manifest = {
        "requests": _without(said.get("requests"), compute.gpu_resource) | cpus | memory | gpus,
        "limits": _without(said.get("limits"), compute.gpu_resource) | memory | gpus,
    }
    return {side: amounts for side, amounts in merged.items() if amounts}


def _without(amounts: Manifest | None, resource: str) -> Manifest:
    return {name: amount for name, amount in (amounts or {}).items() if name != resource}
