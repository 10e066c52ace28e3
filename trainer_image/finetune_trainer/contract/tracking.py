"""The services that a job talks to: its W&B run and the Hub."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from finetune_trainer.contract.model import Model


def run_ids(run_id: str) -> tuple[str, str]:
    """The id of a job's run, and that of the one that goes on when W&B says that the first was deleted."""
    return run_id, f"{run_id}-2"


class WandbMode(StrEnum):
    """Whether the run is sent."""

    ONLINE = "online"
    OFFLINE = "offline"
    DISABLED = "disabled"


class WandbSettings(Model):
    """The W&B run; a field that is absent takes the WANDB_ variable of the same name, else W&B's default."""

    project: str | None = None
    """The project; WANDB_PROJECT, else huggingface, when absent."""
    entity: str | None = None
    """The team or user."""
    name: str | None = None
    """The run's display name; the job's name when absent."""
    group: str | None = None
    """The group under which runs are compared."""
    job_type: str | None = None
    """The kind of work, for example train."""
    tags: tuple[str, ...] = ()
    """The run's tags."""
    notes: str | None = Field(default=None, max_length=16384)
    """What is special about the run."""
    base_url: str | None = None
    """The address of a self-hosted server."""
    mode: WandbMode | None = None
    """Whether the run is sent: online, offline or disabled."""
    log_model: Literal["checkpoint", "end", "false"] | None = None
    """What goes to the model artifact: every save, the final model, or neither ("false", with quotes).

    WANDB_LOG_MODEL, else end, when absent.
    """
    watch: Literal["gradients", "parameters", "all", "false"] | None = None
    """Which histograms are logged ("false" with quotes); WANDB_WATCH, else false, when absent."""
    log_dataset: bool = False
    """Whether the data set's place, version and fingerprint are logged as an artifact that the run uses."""


class HubSettings(Model):
    """The Hugging Face Hub."""

    endpoint: str | None = None
    """The address of a mirror; the public Hub when absent."""
