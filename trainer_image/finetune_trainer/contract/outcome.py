"""What happened: the trainer's progress while it runs, its outcome when it ends, its exit codes."""

from datetime import datetime
from enum import IntEnum, StrEnum

from pydantic import Field

from finetune_trainer.contract.model import Told

SCHEMA_VERSION = 1


class ExitCode(IntEnum):
    """The exit codes that are ours; 143, 137 and 1 are nobody's."""

    FINISHED = 0
    FAILED = 1
    RETRY = 75
    """The surroundings failed (no W&B at restore, no data server): try again later."""
    CONFIGURATION = 78
    """The job as written cannot run: only its author can help."""
    PREEMPTED = 85
    """Stopped on request; the checkpoint was published, or the outcome says why not."""
    HUNG = 86
    """No step for longer than the hang timeout."""


class OutcomeKind(StrEnum):
    """How a supervisor ended."""

    FINISHED = "finished"
    PREEMPTED = "preempted"
    RETRY = "retry"
    CONFIGURATION = "configuration"
    FAILED = "failed"
    HUNG = "hung"
    PEER_LOST = "peerLost"
    """Another member of the gang went away; that member's outcome holds the cause."""


class CheckpointKind(StrEnum):
    """Why a checkpoint was written."""

    PERIODIC = "periodic"
    TERMINATION = "termination"


class Checkpoint(Told):
    """One complete checkpoint in its durable place."""

    step: int = Field(ge=0)
    """The optimizer step after which it was taken."""
    artifact: str | None = None
    """Where it is: entity/project/name:vN of the W&B artifact, or file:// of the volume."""
    digest: str
    """The SHA-256 of the checkpoint's manifest, which holds the hash of every file."""
    size_bytes: int = Field(ge=0)
    """The size of all its files."""
    committed_at: datetime
    """When the store confirmed it."""
    kind: CheckpointKind = CheckpointKind.PERIODIC
    """Whether it was due, or taken because the pod was asked to stop."""
    verified: bool = False
    """True when every hash was checked, as a restore does."""


class Resume(Told):
    """Where an attempt started."""

    from_step: int = Field(ge=0)
    """The step of the restored checkpoint; 0 when the attempt started afresh."""
    artifact: str | None = None
    """The artifact that was restored."""
    reached_step: int | None = None
    """The last step that W&B has a row of, from an earlier attempt; none until W&B has been asked."""
    passed_over: tuple[str, ...] = ()
    """Checkpoints that were seen and found bad, each with the reason, newest first."""


class Run(Told):
    """The W&B run."""

    id: str
    """The run's id, the same over all attempts."""
    url: str | None = None
    """The page of the run."""


class TrainerState(StrEnum):
    """What the trainer is doing."""

    STARTING = "starting"
    RESTORING = "restoring"
    TRAINING = "training"
    EVALUATING = "evaluating"
    STOPPING = "stopping"
    FINISHING = "finishing"


class Progress(Told):
    """What /progress answers; rank 0's supervisor serves it."""

    schema_version: int = SCHEMA_VERSION
    attempt: int
    token: str
    state: TrainerState = TrainerState.STARTING
    step: int = 0
    max_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    """The last logged training loss."""
    seconds_per_step: float | None = None
    """The mean over the last steps."""
    checkpoint: Checkpoint | None = None
    """The newest durable checkpoint."""
    resume: Resume | None = None
    run: Run | None = None
    strategy: str | None = None
    """The strategy in effect, for example `ddp x 2` or `zero-2 x 4`."""
    tracking_degraded: str | None = None
    """A sentence, when W&B cannot be reached or refuses what we send."""
    not_durable: str | None = None
    """A sentence, when the newest checkpoints do not reach their durable place."""
    grace_too_short: str | None = None
    """A sentence, when the measured save and upload do not fit into the grace period."""
    recovery_seconds: dict[str, float] = {}
    """Seconds from the start of the pod's program, by phase: import, restore, data, firstStep."""
    observed_at: datetime
    """When this was written."""


class Outcome(Told):
    """The termination message: how and why a supervisor ended."""

    schema_version: int = SCHEMA_VERSION
    kind: OutcomeKind
    reason: str = Field(pattern=r"^[A-Z][A-Za-z0-9]*$")
    """CamelCase, as in a condition, for example `DatasetNotFound`."""
    message: str
    """One or two sentences for the job's author: what is wrong, and the next step."""
    attempt: int
    token: str
    ended_at: datetime
    """When it was written; the earliest outcome of a gang that is not `peerLost` is the cause."""
    progress: Progress | None = None
    """The last progress, from rank 0 only."""
