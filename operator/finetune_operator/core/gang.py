"""The pods of one attempt, seen as one thing: they live and die together."""

from dataclasses import dataclass

from finetune_operator import names
from finetune_operator.api.status import AttemptStatus, FineTuneJobStatus
from finetune_operator.core.observed import Observed, Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Gang:
    """The pods of the current attempt, rank 0 first."""

    members: tuple[Pod, ...] = ()
    missing: tuple[int, ...] = ()
    """Ranks without a pod."""

    @property
    def alive(self) -> tuple[Pod, ...]:
        """Members that have not ended; one whose node is lost counts, for it may still run."""
        return tuple(pod for pod in self.members if not pod.is_terminal)

    @property
    def ended(self) -> tuple[Pod, ...]:
        """Members that have ended."""
        return tuple(pod for pod in self.members if pod.is_terminal)

    @property
    def first(self) -> Pod | None:
        """Rank 0, whose word counts for progress."""
        return next((pod for pod in self.members if pod.node_rank == 0), None)


def owned(seen: Observed) -> tuple[Pod, ...]:
    """The pods that are this job's own, of any attempt."""
    return tuple(pod for pod in seen.pods if pod.owner_uid == seen.job.metadata.uid)


def alive(seen: Observed) -> tuple[Pod, ...]:
    """The job's own pods that have not ended, of any attempt."""
    return tuple(pod for pod in owned(seen) if not pod.is_terminal)


def gang(seen: Observed) -> Gang:
    """The gang of the attempt that the status names."""
    status = seen.job.status
    pods = {pod.node_rank: pod for pod in owned(seen) if pod.attempt == status.attempt}
    return Gang(
        members=tuple(pods[rank] for rank in sorted(pods)),
        missing=tuple(rank for rank in range(status.attempt_nodes) if rank not in pods),
    )


def others(seen: Observed, attempt: int) -> tuple[Pod, ...]:
    """Our pods of every other attempt."""
    return tuple(pod for pod in owned(seen) if pod.attempt != attempt)


def squatters(seen: Observed) -> tuple[str, ...]:
    """What holds a name of ours without being ours, and stays."""
    pods = {f"Pod {pod.name}" for pod in _strangers(seen) if not _goes(pod, seen.job.metadata.name)}
    return tuple(sorted(pods | set(seen.taken)))


def going(seen: Observed) -> tuple[str, ...]:
    """What holds a name of ours without being ours, and goes by itself."""
    pods = {f"Pod {pod.name}" for pod in _strangers(seen) if _goes(pod, seen.job.metadata.name)}
    return tuple(sorted(pods | set(seen.going)))


def _strangers(seen: Observed) -> tuple[Pod, ...]:
    status, job = seen.job.status, seen.job.metadata
    wanted = {names.pod_name(job.name, status.attempt, rank) for rank in range(status.attempt_nodes)}
    return tuple(pod for pod in seen.pods if pod.owner_uid != job.uid and pod.name in wanted)


def _goes(pod: Pod, job: str) -> bool:
    """Whether its deletion was asked for, or will be: the job of this name that it belongs to is gone."""
    return pod.is_ending or pod.owner_job == job


def record(status: FineTuneJobStatus) -> AttemptStatus | None:
    """What is written down about the end of the current attempt, if it has begun to end."""
    latest = status.last_attempts[0] if status.last_attempts else None
    return latest if latest is not None and latest.attempt == status.attempt else None


def is_over(status: FineTuneJobStatus) -> bool:
    """Whether there is no current attempt: none yet, or its end is written down."""
    written = record(status)
    return status.attempt == 0 or (written is not None and written.ended_at is not None)
