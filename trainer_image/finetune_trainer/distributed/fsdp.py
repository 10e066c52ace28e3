"""Fully sharded data parallel: what transformers is told, and what makes it hold on processors too."""

from typing import Any

from finetune_trainer.contract.distribution import Fsdp
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


def choose_layers(plugin: Any, model: Any) -> None:
    """Name the layers that are shared out one by one, where the job does not.

    A model may count its embeddings among them, which accelerate shares out by themselves; both cannot be.
    """
    there = {type(module).__name__ for module in model.modules()}
    for name in plugin.transformer_cls_names_to_wrap or ():
        if name not in there:
            raise ConfigurationError(
                "FsdpLayerNotFound",
                f"{WHERE}.transformer_layer_cls_to_wrap: the model has no {name}. Name a class of its layers, or leave "
                "it out.",
            )
    if plugin.transformer_cls_names_to_wrap is None:
        embedding = model.get_input_embeddings()
        around = {type(module).__name__ for module in model.modules() if embedding in module.modules()}
        usual = getattr(model, "_no_split_modules", None) or ()
        # What an adapter trains in full may be of another type than its matrices, which no group may mix.
        usual = (*usual, "ModulesToSaveWrapper")
        plugin.transformer_cls_names_to_wrap = [name for name in usual if name in there - around]


def make_ready(*, cpu: bool) -> None:
    """Have accelerate shard on processors as it does on GPUs; left alone it trains with DDP there and says nothing."""
    if cpu:
        from accelerate import DistributedType, PartialState

        PartialState().distributed_type = DistributedType.MULTI_GPU


def share_out(model: Any) -> None:
    """Share a model out that is asked and never trained, unless it is; every process keeps its part of it."""
    from accelerate.state import AcceleratorState
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    if isinstance(model, FSDPModule):
        return
    policy = AcceleratorState().fsdp_plugin.mixed_precision_policy or MixedPrecisionPolicy()
    usual = getattr(model, "_no_split_modules", None) or ()
    for module in [*model.modules()]:
        if type(module).__name__ in usual:
            fully_shard(module, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
