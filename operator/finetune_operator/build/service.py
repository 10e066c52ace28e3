"""The headless Service under which the pods of a gang find each other by name."""

from finetune_trainer.contract import environment as contract

from finetune_operator import names
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.build import ownership
from finetune_operator.build.manifest import Manifest


def service(job: FineTuneJob) -> Manifest:
    """The job's Service; one for all its attempts, for host names carry the attempt."""
    meta = job.metadata
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": ownership.metadata(meta, names.service_name(meta.name)),
        "spec": {
            "clusterIP": "None",
            # The ranks meet before any of them is ready.
            "publishNotReadyAddresses": True,
            "selector": {names.LABEL_JOB: meta.name, names.LABEL_JOB_UID: meta.uid},
            "ports": [{"name": "rendezvous", "port": contract.RENDEZVOUS_PORT, "protocol": "TCP"}],
        },
    }
