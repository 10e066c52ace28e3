"""A job's life in memory: decisions are applied until nothing changes, and every status is held to the grammar."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from finetune_operator.api.conditions import ConditionStatus, ConditionType
from finetune_operator.api.status import FineTuneJobStatus, Phase
from finetune_operator.api.v1alpha1 import FineTuneJob, FineTuneJobSpec
from finetune_operator.build.attempt import token
from finetune_operator.config import Config
from finetune_operator.core.decide import decide
from finetune_operator.core.decision import Decision, EventNote
from finetune_operator.core.observed import Belonging, Observed, Pod, PodPhase, Reason, Terminated
from finetune_operator.core.pods import pod as parsed
from finetune_trainer.contract.outcome import (
    Checkpoint,
    CheckpointKind,
    Outcome,
    OutcomeKind,
    Progress,
    Resume,
    TrainerState,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
CONFIG = Config(trainer_image="trainer:1")
SPEC: dict[str, Any] = {
    "task": "text-classification",
    "model": {"uri": "hf://a/model"},
    "dataset": {"uri": "hf://a/data", "columns": {"text": ["text"], "label": "label"}},
    "wandb": {"secretRef": {"name": "wandb"}},
}
MOST_TURNS = 20


def job(status: FineTuneJobStatus | None = None, generation: int = 1, **spec: Any) -> FineTuneJob:
    """A job that states only what matters."""
    meta = {"name": "bert", "namespace": "team", "uid": UID, "generation": generation}
    return FineTuneJob(
        metadata=meta,
        spec=FineTuneJobSpec.model_validate(SPEC | spec),
        status=status or FineTuneJobStatus(),
    )


def checkpoint(step: int, kind: CheckpointKind = CheckpointKind.PERIODIC, at: datetime = NOON) -> Checkpoint:
    return Checkpoint(
        step=step, artifact=f"t/p/ckpt:v{step}", digest=f"d{step}", size_bytes=1, committed_at=at, kind=kind
    )


def lawful(old: FineTuneJobStatus, new: FineTuneJobStatus, generation: int) -> None:
    """What must hold for every status that anybody may ever read."""
    by_type = {c.type: c for c in new.conditions}
    assert len(by_type) == len(new.conditions), "a condition stands there once"
    assert ConditionType.READY in by_type, "Ready is always there"
    assert not {ConditionType.RECONCILING, ConditionType.STALLED} <= set(by_type), "never both"
    assert new.observed_generation <= generation
    assert all(c.observed_generation <= generation for c in new.conditions)
    assert all(c.message.rstrip().endswith((".", "...")) for c in new.conditions), "sentences end"
    before = {(c.type, c.status): c.last_transition_time for c in old.conditions}
    for c in new.conditions:
        assert before.get((c.type, c.status), c.last_transition_time) == c.last_transition_time
    is_ready = by_type[ConditionType.READY].status is ConditionStatus.TRUE
    assert is_ready == (new.phase in {Phase.RUNNING, Phase.SUCCEEDED}) or new.phase is Phase.RUNNING
    assert (ConditionType.COMPLETE in by_type) == (new.phase is Phase.SUCCEEDED)
    assert (ConditionType.FAILED in by_type) == (new.phase is Phase.FAILED)
    assert (ConditionType.STALLED in by_type) == (new.phase is Phase.FAILED)
    assert (ConditionType.SUSPENDED in by_type) == (new.phase is Phase.SUSPENDED)


class World:
    """One job, its pods, and a clock that moves only when told."""

    def __init__(self, **spec: Any) -> None:
        self.spec = spec
        self.job = job(**spec)
        self.now = NOON
        self.pods: dict[str, Pod] = {}
        self.belongings: dict[str, Belonging] = {}
        self.progress: Progress | None = None
        self.taken: tuple[str, ...] = ()
        self.going: tuple[str, ...] = ()
        self.refusal: str | None = None
        self.story: list[str] = []
        self.events: list[EventNote] = []
        self.num_created = 0
        self.writes = 0
        self.environment: dict[str, dict[str, str]] = {}

    @property
    def status(self) -> FineTuneJobStatus:
        return self.job.status

    @property
    def message(self) -> str:
        return next(c.message for c in self.status.conditions if c.type is ConditionType.READY)

    @property
    def gang(self) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.attempt == self.status.attempt]

    def observed(self, *, live: bool, belongings: bool = False) -> Observed:
        return Observed(
            job=self.job,
            now=self.now,
            pods=tuple(self.pods.values()),
            pods_are_live=live,
            progress=self.progress,
            taken=self.taken,
            going=self.going,
            refusal=self.refusal,
            belongings=tuple(self.belongings.values()) if belongings else None,
        )

    def decision(self) -> Decision:
        found = decide(self.observed(live=False), CONFIG)
        if found.needs_live_pods or found.needs_belongings:
            return decide(self.observed(live=True, belongings=found.needs_belongings), CONFIG)
        return found

    def settle(self) -> Self:
        """Carry out decisions until nothing changes; fails when that never happens."""
        for _ in range(MOST_TURNS):
            if not self.carried_out(self.decision()):
                return self
        raise AssertionError(f"never settles: {self.story}")

    def carried_out(self, decision: Decision) -> bool:
        old = self.job.status
        changed = decision.status != old
        if changed:
            lawful(old, decision.status, self.job.metadata.generation)
            self.job = self.job.model_copy(update={"status": decision.status})
            self.writes += 1
        for manifest in decision.create:
            changed |= self._created(manifest)
        for gone in decision.delete:
            changed |= self._deleted(gone.kind, gone.name, gone.uid)
        self.events.extend(decision.events)
        self.story.extend(note.reason for note in decision.events)
        attempts = {pod.attempt for pod in self.pods.values() if not pod.is_terminal}
        assert len(attempts) <= 1, "two attempts are alive"
        return changed

    def _created(self, manifest: dict[str, Any]) -> bool:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if f"{kind} {name}" in {*self.taken, *self.going} or (kind == "Pod" and self.refusal):
            return False
        if kind != "Pod":
            is_new = name not in self.belongings
            self.belongings[name] = Belonging(kind=kind, name=name, uid=f"{kind}-{name}")
            return is_new
        if name in self.pods:
            return False
        self.num_created += 1
        new = parsed(manifest)
        self.pods[name] = replace(new, uid=f"uid-{self.num_created}", created_at=self.now)
        env = manifest["spec"]["containers"][0]["env"]
        self.environment[name] = {e["name"]: e.get("value", "") for e in env}
        return True

    def _deleted(self, kind: str, name: str, uid: str) -> bool:
        if kind != "Pod":
            return self.belongings.pop(name, None) is not None
        pod = self.pods.get(name)
        if pod is None or pod.uid != uid or pod.is_ending:
            return False
        if pod.is_terminal or pod.node is None:
            del self.pods[name]
        else:
            self.pods[name] = replace(pod, deletion_at=self.now + timedelta(seconds=60))
        return True

    def after(self, seconds: float) -> Self:
        self.now += timedelta(seconds=seconds)
        return self.settle()

    def change(self, rank: int | None, what: Callable[[Pod], Pod]) -> Self:
        """Something happens to a pod of the current attempt, or to all of them."""
        for pod in self.gang:
            if rank is None or pod.node_rank == rank:
                self.pods[pod.name] = what(pod)
        return self.settle()

    def runs(self, step: int = 0) -> Self:
        """The pods find nodes and the trainer trains."""
        self.settle()
        for pod in self.gang:
            self.pods[pod.name] = replace(
                pod,
                phase=PodPhase.RUNNING,
                node=f"node-{pod.node_rank}",
                ip="10.0.0.1",
                scheduled_at=self.now,
                started_at=self.now,
            )
        return self.trains(step)

    def word(self, **said: Any) -> Progress:
        number = self.status.attempt
        start = self.status.resume.from_step if self.status.resume else 0
        defaults = {
            "attempt": number,
            "token": token(UID, number),
            "state": TrainerState.TRAINING,
            "max_steps": 300,
            "seconds_per_step": 1.0,
            "resume": Resume(from_step=start),
            "observed_at": self.now,
        }
        return Progress(**(defaults | said))

    def trains(self, step: int, saved: int | None = None, **said: Any) -> Self:
        if saved is not None:
            said["checkpoint"] = checkpoint(saved, at=self.now)
        self.progress = self.word(step=step, **said)
        return self.settle()

    def outcome(self, kind: OutcomeKind, reason: str, message: str = "It ended.", **said: Any) -> Outcome:
        number = self.status.attempt
        return Outcome(
            kind=kind,
            reason=reason,
            message=message,
            attempt=number,
            token=token(UID, number),
            ended_at=self.now,
            progress=self.word(**said) if said else None,
        )

    def ends(self, outcome: Outcome | None, code: int, rank: int | None = None, reason: str = "Error") -> Self:
        """The trainer ends by itself."""
        self.progress = None if rank in {None, 0} else self.progress
        phase = PodPhase.SUCCEEDED if code == 0 else PodPhase.FAILED
        ended = Terminated(exit_code=code, reason=reason, finished_at=self.now)
        return self.change(rank, lambda pod: replace(pod, phase=phase, terminated=ended, outcome=outcome))

    def finishes(self) -> Self:
        return self.ends(self.outcome(OutcomeKind.FINISHED, "Finished", "Training finished at step 300.", step=300), 0)

    def fails(self, kind: OutcomeKind = OutcomeKind.FAILED, reason: str = "OutOfMemory") -> Self:
        return self.ends(self.outcome(kind, reason), {"configuration": 78, "retry": 75, "hung": 86}.get(kind, 1))

    def disrupted(self, reason: str = "PreemptionByScheduler", rank: int = 0) -> Self:
        """Kubernetes announces that it takes the pod."""
        target, at = Reason(reason=reason), self.now + timedelta(seconds=60)
        return self.change(rank, lambda pod: replace(pod, disruption=target, deletion_at=at))

    def stops(self, saved: int | None = None) -> Self:
        """The pods that were asked to go save what they have, end, and are removed."""
        said = {"step": saved, "checkpoint": checkpoint(saved, CheckpointKind.TERMINATION, self.now)} if saved else {}
        outcome = self.outcome(OutcomeKind.PREEMPTED, "Stopped", "Stopped on request.", **said)
        self.progress = None
        ended = Terminated(exit_code=85, reason="Error", finished_at=self.now)
        going = [pod for pod in self.pods.values() if pod.is_ending and not pod.is_terminal]
        for pod in going:
            last = outcome if pod.node_rank == 0 else replace_progress(outcome)
            self.pods[pod.name] = replace(pod, phase=PodPhase.FAILED, terminated=ended, outcome=last)
        self.settle()
        return self.vanishes(*(pod.name for pod in going))

    def vanishes(self, *names: str) -> Self:
        for name in names or tuple(pod.name for pod in self.gang):
            self.pods.pop(name, None)
        self.progress = None
        return self.settle()

    def preempted(self, saved: int | None = None) -> Self:
        return self.disrupted().stops(saved)

    def edited(self, **spec: Any) -> Self:
        self.spec |= spec
        self.job = job(self.status, self.job.metadata.generation + 1, **self.spec)
        return self.settle()


def replace_progress(outcome: Outcome) -> Outcome:
    """What a rank other than 0 says: no progress."""
    return outcome.model_copy(update={"progress": None})


def world(**spec: Any) -> World:
    return World(**spec)
