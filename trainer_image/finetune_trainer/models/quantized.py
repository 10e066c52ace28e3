"""Four-bit weights: how an adapter's base is held while it trains (QLoRA), and how it becomes a whole model again."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from finetune_trainer.contract.run_config import Quantization, RunConfig
from finetune_trainer.errors import ConfigurationError


def refuse_other(shape: Any, config: RunConfig) -> None:
    """Refuse a model whose files are quantized in a way that nothing can be trained on, or against the job's wish."""
    if (own := _of_files(shape)) is None:
        return
    if not own.get("load_in_4bit"):
        raise ConfigurationError(
            "QuantizationUnsupported",
            f"The weights of {config.model.uri} are quantized ({own.get('quant_method', 'unknown')}), and no adapter "
            "of ours trains on those. Choose the model that it was made from, with peft.method: qlora to save memory.",
        )
    if config.peft is None or config.peft.method != "qlora":
        raise ConfigurationError(
            "QuantizationUnsupported",
            f"The weights of {config.model.uri} are in four bits, on which only peft.method: qlora trains. Use it, "
            "or choose the model that it was made from.",
        )
    if config.peft.quantization is not None:
        raise ConfigurationError(
            "QuantizationContradicted",
            f"The weights of {config.model.uri} are in four bits already, in their own way. Leave out "
            "peft.quantization, or choose the model that it was made from.",
        )


def _of_files(shape: Any) -> Mapping[str, Any] | None:
    """How the weights of a model's files are quantized; none when they are not."""
    found = getattr(shape, "quantization_config", None)
    return found if found is None or isinstance(found, Mapping) else found.to_dict()


def loading(config: RunConfig, shape: Any, load: Callable[..., Any]) -> dict[str, Any]:
    """What loading a model is told beside the rest, so that it comes in four bits; nothing where none are wanted.

    What is trained in full stays as it is: the output, modules whose weights the files do not hold, and those named.
    """
    peft = config.peft
    if peft is None or peft.method != "qlora":
        return {}
    if _of_files(shape) is not None:
        refuse_lacking(_device(), Quantization())
        return {}
    import transformers
    from transformers.quantizers.base import get_keys_to_not_convert

    wanted = peft.quantization or Quantization()
    refuse_lacking(_device(), wanted)
    bare, info = load(device_map="meta")
    new = {*info["missing_keys"], *(one[0] for one in info["mismatched_keys"])}
    kept = {*get_keys_to_not_convert(bare), *(name.rpartition(".")[0] for name in new), *peft.modules_to_save}
    return {
        "quantization_config": transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=wanted.quant_type,
            bnb_4bit_use_double_quant=wanted.double_quant,
            bnb_4bit_compute_dtype=compute_dtype(config, wanted, str(bare.dtype)),
            llm_int8_skip_modules=sorted(kept - {""}),
        )
    }


def compute_dtype(config: RunConfig, wanted: Quantization, loaded: str) -> str:
    """The type in which four-bit weights are multiplied."""
    if wanted.compute_dtype is not None:
        return wanted.compute_dtype
    mixed = {"bfloat16": config.training.bf16, "float16": config.training.fp16}
    return next((name for name, is_on in mixed.items() if is_on), loaded.removeprefix("torch."))


def _device() -> Any:
    """Where transformers puts a quantized model."""
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def refuse_lacking(device: Any, wanted: Quantization) -> None:
    """Refuse a device on which four-bit weights cannot be made and read: found out by making a few."""
    import torch

    try:
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        dequantize_4bit(*quantize_4bit(torch.ones(64, 64, device=device), quant_type=wanted.quant_type))
    except torch.OutOfMemoryError:
        raise
    except (ImportError, RuntimeError, NotImplementedError, ValueError) as problem:
        said = next(iter(str(problem).strip().splitlines()), type(problem).__name__).rstrip(".")
        raise ConfigurationError(
            "QuantizationUnsupported",
            f"peft.method: qlora needs bitsandbytes, which does not run on this node's {device.type} device: {said}. "
            "Use peft.method: lora, with model.dtype: bfloat16 to save memory.",
        ) from problem


def prepared(made: Any) -> Any:
    """The model, loaded in four bits, fit for training.

    On some processors bitsandbytes packs weights anew for an evaluation, and has no gradient for those afterwards.
    """
    for layer in four_bit_layers(made):
        layer.support_avx512bf16_for_cpu = False
    return made


def four_bit_layers(made: Any) -> Iterable[Any]:
    """The layers of a model that hold their weights in four bits."""
    if not getattr(made, "is_loaded_in_4bit", False):
        return ()
    from bitsandbytes.nn.modules import Linear4bit

    return [layer for layer in made.modules() if isinstance(layer, Linear4bit)]


def merged(adapted: Any) -> Any:
    """The whole model of an adapter on four-bit weights, on the processor, where there is room for it.

    Left to peft, what was merged would be quantized again.
    """
    from bitsandbytes.nn.modules import Linear4bit
    from peft.tuners.lora import Linear4bit as Adapted

    adapted = adapted.to("cpu")
    for name, layer in [*adapted.named_modules()]:
        if isinstance(layer, Adapted):
            added = sum(layer.get_delta_weight(one) for one in layer.active_adapters)
            adapted.set_submodule(name, _plain(layer.get_base_layer(), added))
    whole = adapted.merge_and_unload()
    for name, layer in [*whole.named_modules()]:
        if isinstance(layer, Linear4bit):
            whole.set_submodule(name, _plain(layer, 0.0))
    _forget(whole)
    return whole


def _forget(whole: Any) -> None:
    """Take from a model what says that its weights are quantized, or were when they were read."""
    whole.hf_quantizer.remove_quantization_config(whole)
    whole.is_loaded_in_4bit = False
    names = "_weight_conversions"  # By which the files would be written as they were read.
    kept = [one for one in getattr(whole, names, None) or () if not _is_of_bits(one)]
    setattr(whole, names, kept or None)


def _is_of_bits(conversion: Any) -> bool:
    return any(hasattr(operation, "hf_quantizer") for operation in getattr(conversion, "operations", ()))


def _plain(layer: Any, added: Any) -> Any:
    """A four-bit layer in the type that the model was loaded in, with something added to its weight."""
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from transformers.pytorch_utils import Conv1D

    state = layer.weight.quant_state
    weight = (dequantize_4bit(layer.weight.data, state).float() + added).to(state.dtype)
    with torch.device("meta"):
        if layer.source_cls is Conv1D:  # GPT-2 keeps its weights the other way round.
            plain = Conv1D(layer.out_features, layer.in_features)
            weight = weight.T
        else:
            plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    plain.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=False)
    if layer.bias is not None:
        plain.bias = torch.nn.Parameter(layer.bias.data.to(state.dtype), requires_grad=False)
    return plain
