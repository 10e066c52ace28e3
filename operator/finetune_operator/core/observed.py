"""What one pass has seen of one job: the job, its pods, its progress, the time. Nothing here was concluded."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from finetune_trainer.contract.outcome import Outcome, Progress

from finetune_operator.api.v1alpha1 import FineTuneJob


class PodPhase(StrEnum):
    """A pod's phase, as Kubernetes names it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A CamelCase reason and the sentence beside it, as Kubernetes gives them."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """How the trainer's container ended."""

    exit_code: int
    reason: str = ""
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod, reduced to what decisions depend on; `pods.pod` makes it from a manifest."""

    name: str
    uid: str
    owner_uid: str | None
    """The uid of its controller; another job's, or nobody's, when the pod is not ours."""
    owner_job: str | None = None
    """The name of the FineTuneJob that is its controller; a job created anew has the name of the one before."""
    attempt: int
    node_rank: int
    phase: PodPhase
    node: str | None = None
    ip: str | None = None
    created_at: datetime | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    """When the trainer's container started."""
    deletion_at: datetime | None = None
    """deletionTimestamp: when it should be gone; absent while nobody has asked for its deletion."""
    disruption: Reason | None = None
    """The DisruptionTarget condition, when it is true."""
    status: Reason | None = None
    """status.reason and status.message, for example Evicted."""
    unschedulable: str | None = None
    """The scheduler's sentence, while no node will do."""
    waiting: Reason | None = None
    """Why the container does not start, for example ImagePullBackOff."""
    terminated: Terminated | None = None
    outcome: Outcome | None = None
    """The supervisor's last word, when the termination message holds one."""
    is_unreachable: bool = False
    """Whether its node no longer answers; the container may run all the same."""

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended, by phase; container statuses are up to a second ahead and prove nothing."""
        return self.phase in {PodPhase.SUCCEEDED, PodPhase.FAILED}

    @property
    def is_ending(self) -> bool:
        """Whether somebody has asked for its deletion."""
        return self.deletion_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """An object other than a pod that belongs to the job: a ConfigMap or its Service."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that a pass may look at."""

    job: FineTuneJob
    now: datetime
    pods: tuple[Pod, ...] = ()
    """All pods with the job's label in its namespace, and any pod known to hold a name we need."""
    pods_are_live: bool = False
    """Whether `pods` come from a LIST just made; from the cache otherwise."""
    progress: Progress | None = None
    """What rank 0's trainer answered just now; absent when nobody asked or nobody answered."""
    taken: tuple[str, ...] = ()
    """Objects of somebody else that hold a name we need, for example `Pod a-1-0`; found when a creation met them."""
    going: tuple[str, ...] = ()
    """The same of objects that go by themselves, for example of an earlier job of this name."""
    refusal: str | None = None
    """The API server's sentence, when it could not do the last creation, for example for a quota or a webhook."""
    belongings: tuple[Belonging, ...] | None = None
    """The job's ConfigMaps and Service, listed when the last decision asked for them; None when not looked at."""
