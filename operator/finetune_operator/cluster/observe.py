"""Everything that one pass may look at, read into one value."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_trainer.contract.outcome import Progress
from pydantic import ValidationError

from finetune_operator import names
from finetune_operator.api.legible import legible
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.v1alpha1 import FineTuneJob, ObjectMeta
from finetune_operator.cluster.clock import Clock
from finetune_operator.cluster.informer import Key, Store
from finetune_operator.cluster.port import CONFIG_MAP, POD, SERVICE, Cluster, Kind, Manifest, Selection
from finetune_operator.core import pods
from finetune_operator.core.observed import Belonging, Observed, Pod

KINDS: Mapping[str, Kind] = {kind.kind: kind for kind in (POD, CONFIG_MAP, SERVICE)}
_METADATA = frozenset(field.alias or name for name, field in ObjectMeta.model_fields.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a creation met, remembered until it no longer holds: the cluster keeps no record of it."""

    taken: tuple[str, ...] = ()
    """Objects of somebody else, for example `Pod a-1-0`."""
    going: tuple[str, ...] = ()
    """The same of objects that go by themselves."""
    refusal: str | None = None
    """Why the API server created nothing, in its own sentence: it would not, or could not for some time."""


NOTHING_FOUND = Findings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How closely a pass looks."""

    live_pods: bool = False
    belongings: bool = False


class Unreadable(Exception):
    """The job's manifest does not fit the model; the message says where."""


def selection_of(kind: Kind, key: Key) -> Selection:
    """The objects of a kind that carry the job's label."""
    return Selection(kind=kind, namespace=key.namespace, labels={names.LABEL_JOB: key.name})


def job_of_pod(manifest: Manifest) -> Key:
    """The job that a pod is labeled with."""
    metadata = manifest["metadata"]
    return Key(metadata["namespace"], metadata["labels"][names.LABEL_JOB])


def pod_store_entry(manifest: Manifest) -> Pod:
    """A pod as the cache keeps it."""
    return pods.pod(manifest)


def parsed(manifest: Manifest) -> FineTuneJob:
    """The job, as the models know it; raises `Unreadable`.

    The author answers for the spec. The status is ours: what another version of us wrote there is read as far as it
    can be.
    """
    status = legible(FineTuneJobStatus, manifest.get("status") or {})
    found = {"metadata": metadata(manifest), "spec": manifest["spec"], "status": status}
    try:
        return FineTuneJob.model_validate(found)
    except ValidationError as wrong:
        raise Unreadable(sentences(wrong)) from wrong


def metadata(manifest: Manifest) -> Manifest:
    """What the models know of an object's metadata."""
    return {name: value for name, value in manifest["metadata"].items() if name in _METADATA}


def sentences(wrong: ValidationError) -> str:
    """What is wrong with a job, a sentence for each field."""
    return " ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}." for each in wrong.errors(include_url=False))


class Observer:
    """Reads what decisions depend on."""

    def __init__(self, cluster: Cluster, pod_store: Store[Pod], clock: Clock) -> None:
        self._cluster = cluster
        self._pods = pod_store
        self._clock = clock

    async def observed(
        self, job: FineTuneJob, *, look: Look, progress: Progress | None, findings: Findings
    ) -> Observed:
        """What is known of the job now; from the cache, unless a closer look is asked for."""
        key = Key(job.metadata.namespace, job.metadata.name)
        if look.live_pods:
            listing = await self._cluster.list(selection_of(POD, key))
            self._pods.replace(listing, of=key)
        return Observed(
            job=job,
            # Kubernetes' times have no fractions, and the status shows them to people.
            now=self._clock.now().replace(microsecond=0),
            pods=tuple(sorted(self._pods.owned_by(key), key=lambda pod: pod.name)),
            pods_are_live=look.live_pods,
            progress=progress,
            taken=findings.taken,
            going=findings.going,
            refusal=findings.refusal,
            belongings=await self._belongings(job) if look.belongings else None,
        )

    async def _belongings(self, job: FineTuneJob) -> tuple[Belonging, ...]:
        """By name, for the operator has no right to list what is in a namespace beside pods."""
        meta = job.metadata
        generations = range(1, meta.generation + 1)
        config_maps = ((CONFIG_MAP, names.config_map_name(meta.name, generation)) for generation in generations)
        wanted = ((SERVICE, names.service_name(meta.name)), *config_maps)
        found = [(kind, await self._cluster.get(kind, meta.namespace, name)) for kind, name in wanted]
        return tuple(
            Belonging(kind=kind.kind, name=item["metadata"]["name"], uid=item["metadata"]["uid"])
            for kind, item in found
            if item is not None and is_controlled_by(item, meta.uid)
        )


def is_controlled_by(manifest: Manifest, uid: str) -> bool:
    """Whether this is the object's controller."""
    return bool(pods.controller(manifest["metadata"]).get("uid") == uid)


def is_of_a_namesake(manifest: Manifest, job: ObjectMeta) -> bool:
    """Whether another job of this name is the object's controller, which is gone; the collector has to see that yet."""
    owner = pods.controller(manifest["metadata"])
    return (owner.get("kind"), owner.get("name")) == (names.KIND, job.name) and owner["uid"] != job.uid
