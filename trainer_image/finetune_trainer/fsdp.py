"""Fully sharded data parallel: what transformers is told, and what makes it hold on processors too."""

from typing import Any

from finetune_trainer.contract.run_config import Fsdp
from finetune_trainer.errors import ConfigurationError

WHERE = "distributed.fsdp.config"
WHOLE = "FULL_STATE_DICT"
KNOWN = frozenset(
    {
        *("version", "reshard_after_forward", "cpu_ram_efficient_loading", "state_dict_type"),
        *("auto_wrap_policy", "transformer_layer_cls_to_wrap", "min_num_params", "activation_checkpointing"),
    }
)
"""Settings that have been shown to resume exactly, or that change nothing that a checkpoint holds."""


def settings(wanted: Fsdp, world_size: int) -> dict[str, Any]:
    """FSDP2 in the arguments of transformers."""
    if world_size == 1:
        raise ConfigurationError(
            "FsdpAlone", "distributed.fsdp shares a model over several processes, and the job has one. Leave it out."
        )
    own = {name.removeprefix("fsdp_"): value for name, value in wanted.config.items()}
    for name in own.keys() - KNOWN:
        raise ConfigurationError(
            "FsdpSettingRefused", f"{WHERE}.{name} is not supported. Leave it out: it was not shown to resume exactly."
        )
    if own.get("version", 2) != 2:
        raise ConfigurationError("FsdpSettingRefused", f"{WHERE}.version is not 2. Leave it out: FSDP1 is deprecated.")
    if own.get("state_dict_type", WHOLE) != WHOLE:
        raise ConfigurationError(
            "FsdpSettingRefused",
            f"{WHERE}.state_dict_type is not {WHOLE}, and the model could not be published. Leave it out.",
        )
    return {"fsdp": True, "fsdp_config": {**own, "version": 2, "state_dict_type": WHOLE}}


def make_ready(*, cpu: bool) -> None:
    """Have accelerate shard on processors as it does on GPUs; left alone it trains with DDP there and says nothing."""
    if cpu:
        from accelerate import DistributedType, PartialState

        PartialState().distributed_type = DistributedType.MULTI_GPU
