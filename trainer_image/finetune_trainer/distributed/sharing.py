"""How several processes share one model: what is in effect, and how weights of a file get onto all of them."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from finetune_trainer.errors import TrainingFailed


def strategy(trainer: Any) -> str:
    """The strategy that the wrapped model shows, in words; refuses one that is not the one asked for."""
    world, wrapped = trainer.args.world_size, trainer.model_wrapped
    wrapped = getattr(wrapped, "_orig_mod", wrapped)  # What torch.compile wraps.
    if trainer.is_deepspeed_enabled:
        stage = wrapped.zero_optimization_stage()
        wanted = trainer.accelerator.state.deepspeed_plugin.zero_stage
        if stage != wanted:
            raise TrainingFailed("StrategyNotInEffect", f"ZeRO stage {wanted} was asked for, {stage} is in effect.")
        return f"zero-{stage} x {world}"
    if trainer.args.fsdp:
        if not isinstance(wrapped, torch.distributed.fsdp.FSDPModule):
            raise TrainingFailed("StrategyNotInEffect", "FSDP was asked for, and the model's parameters are whole.")
        return f"fsdp2 x {world}"
    if world == 1:
        return "single process"
    if not isinstance(wrapped, torch.nn.parallel.DistributedDataParallel):
        raise TrainingFailed(
            "StrategyNotInEffect", "Several processes train, but their gradients would not be averaged."
        )
    return f"ddp x {world}"


def num_weights(model: Any) -> int:
    """How many parameters a model has beside its embeddings, over all processes."""
    embeddings = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding)}
    return sum(num_elements(one) for name, one in model.named_parameters() if name not in embeddings)


def num_elements(parameter: Any) -> int:
    """How many numbers a parameter stands for, over all processes and also where two of them share a byte."""
    packed = getattr(parameter, "quant_state", None)
    return int(packed.shape.numel() if packed is not None else getattr(parameter, "ds_numel", parameter.numel()))


def spread(model: Any) -> None:
    """Give all processes the weights of the first."""
    for tensor in model.state_dict().values():
        dist.broadcast(tensor, src=0)


def load_sharded(model: Any, folder: Path, *, is_first: bool) -> None:
    """Load weights that only the first process can read into a model of which every process holds a part (ZeRO-3)."""
    from transformers.integrations.deepspeed import _load_state_dict_into_zero3_model

    found = _weights(folder) if is_first else {}
    box = [{name: (value.shape, value.dtype) for name, value in found.items()}]
    dist.broadcast_object_list(box, src=0)
    if not is_first:
        found = {name: torch.empty(shape, dtype=dtype, device="meta") for name, (shape, dtype) in box[0].items()}
    problems, _ = _load_state_dict_into_zero3_model(model, found)
    if problems:
        raise TrainingFailed("BestModelUnreadable", f"The best model cannot be loaded: {problems[0]}.")


def load_scattered(model: Any, folder: Path, *, is_first: bool) -> None:
    """The same for FSDP2."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
    found = _weights(folder) if is_first else {}
    if hasattr(model, "peft_config") and is_first:
        found = {name: found[_saved(name)] for name, one in model.named_parameters() if one.requires_grad}
    set_model_state_dict(model, found, options=options)


def _saved(name: str) -> str:
    """What peft calls a trained parameter in a file."""
    return name.replace("modules_to_save.default.", "").replace(".default", "")


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found
