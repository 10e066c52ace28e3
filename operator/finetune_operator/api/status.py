"""The status of a FineTuneJob: the answer to "what happens, and why?", never a program counter."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from finetune_trainer.contract.model import Told
from finetune_trainer.contract.outcome import Checkpoint, Run
from pydantic import Field, model_validator

from finetune_operator.api.conditions import Condition


class Phase(StrEnum):
    """The state in one word, derived from the conditions and the pods."""

    PENDING = "Pending"
    SUSPENDED = "Suspended"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    RESTARTING = "Restarting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Cause(StrEnum):
    """Why an attempt ended."""

    FINISHED = "Finished"
    STOPPED = "Stopped"
    """We stopped it: suspend, an edit, the deadline."""
    PREEMPTED = "Preempted"
    INFRASTRUCTURE = "Infrastructure"
    FAILURE = "Failure"
    PERMANENT = "Permanent"


class Restarts(Told):
    """How often the job was started again, by cause."""

    total: int = Field(default=0, ge=0)
    """All restarts; always the sum of the others."""
    preemptions: int = Field(default=0, ge=0)
    """Restarts because the cluster took the pods away."""
    infrastructure: int = Field(default=0, ge=0)
    """Restarts because node, image or a service failed."""
    failures: int = Field(default=0, ge=0)
    """Restarts because the program failed."""

    @model_validator(mode="before")
    @classmethod
    def total_is_the_sum(cls, given: Any) -> Any:
        """Count the total, whatever was given; a printer column cannot add."""
        if not isinstance(given, dict):
            return given
        return {**given, "total": sum(given.get(cause, 0) for cause in ("preemptions", "infrastructure", "failures"))}


class ProgressStatus(Told):
    """How far training is."""

    step: int = Field(ge=0)
    """Optimizer steps done."""
    max_steps: int | None = None
    """Optimizer steps in all."""
    epoch: float | None = None
    """Passes over the data."""
    percent: str | None = None
    """The share that is done, for example 42%."""
    eta: datetime | None = None
    """When training should end, at the present speed."""
    loss: float | None = None
    """The last logged training loss."""
    observed_at: datetime
    """When the trainer said so."""


class ResumeStatus(Told):
    """Where the current attempt started."""

    from_step: int = Field(ge=0)
    """The step of the checkpoint it was restored from; 0 without one."""
    lost_steps: int = Field(default=0, ge=0)
    """Steps that had been done and had to be done again."""
    message: str | None = None
    """What was passed over, and why."""


class AttemptStatus(Told):
    """One attempt that has ended."""

    attempt: int = Field(ge=1)
    """Its number."""
    cause: Cause
    """Why it ended."""
    reason: str
    """Why, in one CamelCase word, for example PreemptionByScheduler."""
    message: str = ""
    """Why, in a sentence."""
    node: str | None = None
    """The node of the pod that gave the cause."""
    exit_code: int | None = None
    """The exit code of that pod's trainer, when there is one."""
    from_step: int | None = None
    """The step it started at."""
    to_step: int | None = None
    """The last step that was seen."""
    started_at: datetime | None = None
    """When its first pod was created."""
    ended_at: datetime | None = None
    """When its last pod was terminal."""
    recovery_seconds: dict[str, float] = {}
    """Seconds from creation to the first step, by phase: schedule, start, import, restore, data, firstStep."""


class FineTuneJobStatus(Told):
    """What was observed of a job, as of its last change."""

    observed_generation: int = Field(default=0, ge=0)
    """The generation of the spec that this status judges."""
    phase: Phase | None = None
    """The state in one word; conditions say more."""
    conditions: tuple[Condition, ...] = ()
    """The state as kstatus and kubectl wait read it."""
    attempt: int = Field(default=0, ge=0)
    """The number of the current attempt; 0 before the first."""
    attempt_generation: int | None = None
    """The generation which the current attempt runs."""
    attempt_started_at: datetime | None = None
    """When the current attempt was decided."""
    attempt_nodes: int = Field(default=0, ge=0)
    """The number of pods of the current attempt."""
    attempt_created: bool = False
    """Whether all pods of the current attempt have been seen; one that is missing later was taken away."""
    restart_after: datetime | None = None
    """When the next attempt may start; absent when nothing is waited for."""
    restarts: Restarts = Restarts()
    """How often the job was started again, by cause."""
    restarts_without_progress: Restarts = Restarts()
    """The same since the last durable progress: what the budgets for infrastructure and failures count."""
    run: Run | None = None
    """The W&B run."""
    progress: ProgressStatus | None = None
    """How far training is."""
    checkpoint: Checkpoint | None = None
    """The newest durable checkpoint."""
    resume: ResumeStatus | None = None
    """Where the current attempt started."""
    strategy: str | None = None
    """The strategy in effect, for example ddp x 2."""
    goodput: str | None = None
    """The share of the job's lifetime on GPUs that went into steps which counted."""
    last_attempts: tuple[AttemptStatus, ...] = ()
    """The last ten attempts that ended, newest first."""
    started_at: datetime | None = None
    """When the first attempt was decided, after a suspension or a failure anew: activeDeadlineSeconds begin here."""
    finished_at: datetime | None = None
    """When the job succeeded or failed for good."""
    cleaned_at: datetime | None = None
    """When pods, ConfigMap and Service of the finished job were found removed, after ttlSecondsAfterFinished."""
