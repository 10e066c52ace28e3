"""How several processes share the work."""

from pydantic import Field, JsonValue

from finetune_trainer.contract.model import Model


class DeepSpeed(Model):
    """DeepSpeed ZeRO."""

    zero_stage: int | None = Field(default=None, ge=1, le=3)
    """Which states are partitioned over the ranks: 1 optimizer, 2 and gradients, 3 and parameters."""
    config: dict[str, JsonValue] = {}
    """A whole DeepSpeed configuration instead of zeroStage."""


class Fsdp(Model):
    """Fully sharded data parallel."""

    config: dict[str, JsonValue] = {}
    """transformers' fsdp_config."""


class Ddp(Model):
    """Distributed data parallel, the default with more than one process."""

    find_unused_parameters: bool = False
    """Whether parameters may go without gradient."""


class Distributed(Model):
    """How several processes share the work; at most one of its fields."""

    ddp: Ddp | None = None
    """Distributed data parallel, the default."""
    fsdp: Fsdp | None = None
    """Fully sharded data parallel."""
    deepspeed: DeepSpeed | None = None
    """DeepSpeed ZeRO."""
