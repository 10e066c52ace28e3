"""What every object of a job has in common: labels and the owner."""

from finetune_operator import names
from finetune_operator.api.v1alpha1 import ObjectMeta
from finetune_operator.build.manifest import Manifest


def metadata(job: ObjectMeta, name: str, labels: dict[str, str] | None = None) -> Manifest:
    """The metadata of an object that goes when its job goes."""
    ours = {
        names.LABEL_JOB: job.name,
        names.LABEL_JOB_UID: job.uid,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    return {
        "name": name,
        "namespace": job.namespace,
        "labels": ours | (labels or {}),
        "ownerReferences": [_owner(job)],
    }


def _owner(job: ObjectMeta) -> Manifest:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
