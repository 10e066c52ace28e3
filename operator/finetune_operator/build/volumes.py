"""What a trainer's pod mounts: run.json, places to write, durable checkpoints, and the author's harmless volumes."""

from collections.abc import Iterator

from finetune_trainer.contract import environment as contract
from finetune_trainer.contract.outputs import VolumeReference

from finetune_operator import names
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.build.manifest import Manifest

_HARMLESS = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "csi", "ephemeral", "image"}
"""Kinds of volumes that reach nothing outside the namespace."""


def volumes(job: FineTuneJob) -> list[Manifest]:
    """The pod's volumes; of one name, ours."""
    ours = _ours(job)
    return ours + _theirs(job, taken={volume["name"] for volume in ours})


def volume_mounts(job: FineTuneJob) -> list[Manifest]:
    """Where the trainer finds them; of one path, ours."""
    ours = _our_mounts(job)
    paths = {mount["mountPath"] for mount in ours}
    theirs = {volume["name"] for volume in _theirs(job, taken={volume["name"] for volume in _ours(job)})}
    return ours + [
        mount
        for mount in job.spec.pod_template.volume_mounts
        if mount.get("name") in theirs and str(mount.get("mountPath", "")).rstrip("/") not in paths
    ]


def _ours(job: FineTuneJob) -> list[Manifest]:
    config = names.config_map_name(job.metadata.name, job.metadata.generation)
    always: list[Manifest] = [
        {"name": "config", "configMap": {"name": config}},
        {"name": "work", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        # The container runtime's 64 MiB are too few for DataLoader workers and NCCL.
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    claims = ({"name": name, "persistentVolumeClaim": {"claimName": one.claim_name}} for name, one, _ in _claims(job))
    return [*always, *claims]


def _claims(job: FineTuneJob) -> Iterator[tuple[str, VolumeReference, str]]:
    """The claims that the job names for us: the volume's name, the claim, where it is mounted."""
    if job.spec.checkpoint.volume is not None:
        yield "checkpoints", job.spec.checkpoint.volume, contract.DEFAULT_CHECKPOINT_DIR
    if job.spec.output.volume is not None:
        yield "model-output", job.spec.output.volume, contract.DEFAULT_OUTPUT_DIR


def _our_mounts(job: FineTuneJob) -> list[Manifest]:
    always: list[Manifest] = [
        {"name": "config", "mountPath": contract.CONFIG_DIR, "readOnly": True},
        {"name": "work", "mountPath": contract.DEFAULT_WORK_DIR},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own, an emptyDir.
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - as above.
    ]
    claims = (
        {"name": name, "mountPath": path, "subPath": one.sub_path or job.metadata.name}
        for name, one, path in _claims(job)
    )
    return [*always, *claims]


def _theirs(job: FineTuneJob, taken: set[str]) -> list[Manifest]:
    return [v for v in job.spec.pod_template.volumes if v.get("name") not in taken and _is_harmless(v)]


def _is_harmless(volume: Manifest) -> bool:
    sources = set(volume) - {"name"}
    projected = volume.get("projected") or {}
    has_token = any("serviceAccountToken" in source for source in projected.get("sources") or ())
    return bool(sources) and sources <= _HARMLESS and not has_token
