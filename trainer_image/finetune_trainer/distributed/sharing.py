"""How several processes share one model: what is in effect, and how weights of a file get onto all of them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from finetune_trainer.distributed import fsdp
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


def is_in_parts(model: Any) -> bool:
    """Whether every process must take part in a forward pass, as each holds a part of the parameters."""
    return _is_of_zero_3(model.parameters()) or isinstance(model, torch.distributed.fsdp.FSDPModule)


def _is_of_zero_3(parameters: Iterable[Any]) -> bool:
    return any(hasattr(one, "ds_id") for one in parameters)


@contextmanager
def whole(parameters: Sequence[Any]) -> Iterator[None]:
    """Parameters that ZeRO-3 has shared out, whole on every process while the block lasts; for every one to call."""
    if not _is_of_zero_3(parameters):
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(parameters):
        yield


@contextmanager
def whole_as_called(model: Any) -> Iterator[None]:
    """Let a model that ZeRO-3 has shared out be called before DeepSpeed has it; for every process to call alike.

    A module's parameters are brought together as it is called and given back after, so never all at once.
    """
    handles = []
    for module in model.modules():
        held = ExitStack()
        own = [*module.parameters(recurse=False)]
        if _is_of_zero_3(own):
            handles.append(module.register_forward_pre_hook(partial(_take, held, own)))
            handles.append(module.register_forward_hook(partial(_give_back, held), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _take(held: ExitStack, own: Sequence[Any], *_call: Any) -> None:
    held.enter_context(whole(own))


def _give_back(held: ExitStack, *_call: Any) -> None:
    held.close()


@contextmanager
def beside(model: Any, other: Any) -> Iterator[None]:
    """Let another model be called beside the one in training, shared out as that is, while the block lasts."""
    if _is_of_zero_3(other.parameters()):
        with whole_as_called(other):
            yield
        return
    if isinstance(model, torch.distributed.fsdp.FSDPModule):
        fsdp.share_out(other)
    else:
        other.to(next(model.parameters()).device)
    yield


def fetch_beside(module: Any, parameters: Iterable[Any]) -> None:
    """Have ZeRO-3 bring parameters together for a module that reads them and does not hold them."""
    import deepspeed

    for parameter in parameters:
        deepspeed.zero.register_external_parameter(module, parameter)


def whole_weights(trainer: Any) -> dict[str, Any]:
    """All weights of a model in training, on the first process's processor; for every process to call."""
    found: dict[str, Any] | None = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return found or {}


def own_class(module: Any) -> type:
    """What a module is, also where FSDP has put a class of its own before it."""
    return next(one for one in type(module).__mro__ if not issubclass(one, torch.distributed.fsdp.FSDPModule))


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

    found = _of_file(model, folder) if is_first else {}
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
    found = _of_file(model, folder) if is_first else {}
    set_model_state_dict(model, found, options=options)


def _of_file(model: Any, folder: Path) -> dict[str, Any]:
    """The weights of a folder by the model's own names: all of them, or an adapter's."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    if hasattr(model, "peft_config"):
        return {name: found[_saved(name)] for name, one in model.named_parameters() if one.requires_grad}
    return found


def _saved(name: str) -> str:
    """What peft calls a trained parameter in a file."""
    if "lora_magnitude_vector" in name:
        name = name.removesuffix(".weight")
    return name.replace("modules_to_save.default.", "").replace(".default", "")
