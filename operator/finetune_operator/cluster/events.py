"""Events about jobs. Each has a name made from what it says, so that a pass done twice tells it once."""

import hashlib
import logging

from finetune_operator import names
from finetune_operator.api.status import Phase
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.clock import Clock
from finetune_operator.cluster.port import EVENT, AlreadyExists, Cluster, ClusterError, Manifest
from finetune_operator.core.decision import EventNote

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 1024
_ORDER = (
    Phase.PENDING,
    Phase.STARTING,
    Phase.RUNNING,
    Phase.STOPPING,
    Phase.RESTARTING,
    Phase.SUSPENDED,
    Phase.SUCCEEDED,
    Phase.FAILED,
)
"""An attempt's phases as it goes through them; the news of the next attempt is still told of the one before."""


class Recorder:
    """Posts events; one that cannot be posted is logged and forgotten."""

    def __init__(self, cluster: Cluster, clock: Clock, *, instance: str) -> None:
        self._cluster = cluster
        self._clock = clock
        self._instance = instance

    async def post(self, job: FineTuneJob, notes: tuple[EventNote, ...], phase: Phase | None) -> None:
        """Post these, in order; they led to this phase."""
        for note in notes:
            try:
                await self._cluster.create(EVENT, self._event(job, note, phase))
            except AlreadyExists:
                continue
            except ClusterError as failure:
                logger.warning("The event %s of %s was not posted: %s", note.reason, job.metadata.name, failure)

    def _event(self, job: FineTuneJob, note: EventNote, phase: Phase | None) -> Manifest:
        meta = job.metadata
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"apiVersion": names.API_VERSION, "kind": names.KIND, "namespace": meta.namespace, "name": meta.name}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": event_name(job, note, phase), "namespace": meta.namespace},
            "involvedObject": about | {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "type": note.type.value,
            "reason": note.reason,
            "message": note.message[:LONGEST_MESSAGE],
            "source": {"component": names.MANAGED_BY},
            "reportingComponent": names.MANAGED_BY,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }


def event_name(job: FineTuneJob, note: EventNote, phase: Phase | None) -> str:
    """The same for the same news of the same attempt and generation.

    Events of one second are described in the order of their names, so these sort as the story goes.
    """
    place = f"{job.metadata.generation:03x}{job.status.attempt:04x}{_ORDER.index(phase) if phase else 0}"
    said = (job.metadata.uid, job.metadata.generation, job.status.attempt, note.reason, note.message)
    return f"{job.metadata.name}.{place}{hashlib.sha256(repr(said).encode()).hexdigest()[:16]}"
