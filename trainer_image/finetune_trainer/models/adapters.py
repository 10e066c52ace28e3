"""Parameter-efficient fine-tuning: the model's weights stay as they are, and small matrices beside them are trained.

What has to be trained in full is found, not asked for: modules whose weights the model's files do not hold, for
example a classifier's head, get `modules_to_save` of their own.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from finetune_trainer.contract.run_config import Peft, RunConfig
from finetune_trainer.distributed import sharing
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.models import quantized

ALL_LINEAR = "all-linear"
SETTINGS = "adapter_config.json"
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "text-classification": "SEQ_CLS",
        "token-classification": "TOKEN_CLS",
        "question-answering": "QUESTION_ANS",
        "text-generation": "CAUSAL_LM",
        "conversational": "CAUSAL_LM",
        "preference": "CAUSAL_LM",
        "summarization": "SEQ_2_SEQ_LM",
        "translation": "SEQ_2_SEQ_LM",
    }
)
"""The tasks that peft has a word for."""
OF_WHOLE_MODELS = ("galore", "apollo", "lomo", "adalomo")
"""How optimizers begin that work on whole matrices."""
MOST_NAMES = 12


def adapted(config: RunConfig, made: Any, new: Iterable[str]) -> Any:
    """The model with the job's adapter, or as it is when the job has none; draws from torch's random state.

    `new` names the parameters that the model's files did not hold.
    """
    wanted = config.peft
    if wanted is None:
        return made
    import peft

    fresh = {module for name in new if (module := name.rpartition(".")[0])}
    _refuse_unknown(made, wanted, fresh)
    settings = peft.LoraConfig(
        task_type=KINDS.get(config.task),
        r=wanted.r,
        lora_alpha=wanted.alpha,
        lora_dropout=wanted.dropout,
        use_dora=wanted.method == "dora",
        target_modules=ALL_LINEAR if _is_all(wanted) else list(wanted.target_modules),
        modules_to_save=sorted({*_named(made, wanted.modules_to_save), *fresh}) or None,
        fan_in_fan_out=_has_transposed(made),
    )
    checkpointing = config.training.gradient_checkpointing or config.training.activation_checkpointing
    if checkpointing:
        made.enable_input_require_grads()  # Else nothing that is recomputed would need a gradient.
    try:
        put_on = _put_on(made, settings)
    except (ValueError, NotImplementedError) as problem:
        raise ConfigurationError(
            "AdapterUnsuitable",
            f"peft cannot be put on {config.model.uri}: {str(problem).splitlines()[0]} Name other modules in "
            "peft.targetModules.",
        ) from problem
    if wanted.method == "dora" and sharing.is_in_parts(put_on):
        _show_magnitudes_their_matrices(put_on)
    return put_on


def _show_magnitudes_their_matrices(put_on: Any) -> None:
    """DoRA's magnitudes read the weights of other modules without calling these."""
    for module in put_on.modules():
        for name, magnitude in getattr(module, "lora_magnitude_vector", {}).items():
            read = (*module.get_base_layer().parameters(), module.lora_A[name].weight, module.lora_B[name].weight)
            sharing.fetch_beside(magnitude, read)


def _put_on(made: Any, settings: Any) -> Any:
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an older name.
        return peft.get_peft_model(made, settings)


def refuse(place: Path, config: RunConfig) -> None:
    """Refuse an adapter where a model is asked for, and what no adapter does, before any weight is read."""
    _refuse_as_model(place, config)
    if config.peft is not None:
        _refuse(config, config.peft)


def _refuse_as_model(place: Path, config: RunConfig) -> None:
    if (place / SETTINGS).exists():  # Whatever lies beside it, transformers would load what it names as its base.
        base = json.loads((place / SETTINGS).read_text()).get("base_model_name_or_path") or "another model"
        raise ConfigurationError(
            "ModelUnsuitable",
            f"{config.model.uri} holds an adapter of {base}, not a model. Train it with output.merged: true, or name "
            "its base in model.uri.",
        )


@contextmanager
def silenced(model: Any) -> Iterator[None]:
    """A model without its adapter while the block lasts.

    peft's own way also tells the parameters that they need no gradient, which not all of a parameter's parts would hear
    where it is shared out.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    layers = [one for one in model.modules() if isinstance(one, BaseTunerLayer | AuxiliaryTrainingWrapper)]
    for layer in layers:
        layer._disable_adapters = True  # noqa: SLF001 - What peft's own way sets, too.
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False  # noqa: SLF001 - As above.


def fingerprint(made: Any) -> str:
    """What the weights under an adapter are known by, which its checkpoints do not hold; empty without an adapter.

    For every process to call where each holds a part of the model.
    """
    import torch

    if not hasattr(made, "peft_config"):
        return ""
    trained = {name for name, one in made.named_parameters() if one.requires_grad}
    digest = hashlib.sha256()
    for name, value in made.state_dict(keep_vars=True).items():
        if name not in trained:
            with sharing.whole([value]):
                hashed = torch.hash_tensor(value.detach()).item()
                digest.update(f"{name} {value.dtype} {tuple(value.shape)} {hashed}".encode())
    return digest.hexdigest()


def save_final(trainer: Any, folder: Path, config: RunConfig) -> None:
    """Write the model of finished work: whole, as an adapter, or with the adapter merged in; for every rank to call.

    After merging, the trainer's model is no longer one that can be trained.
    """
    if config.peft is None:
        trainer.save_model(str(folder))
        return
    if not config.output.merged:
        trainer.save_model(str(folder))
        if trainer.args.should_save:
            _name_base(folder / SETTINGS, config)
        return
    adapted = trainer.accelerator.unwrap_model(trainer.model)
    weights = sharing.whole_weights(trainer) if sharing.is_in_parts(adapted) else {}
    if trainer.args.should_save:
        adapted = _assembled(adapted, weights) if weights else adapted
        whole = quantized.merged(adapted) if quantized.four_bit_layers(adapted) else adapted.merge_and_unload()
        whole.save_pretrained(folder)
        trainer.processing_class.save_pretrained(folder)


def final_size(made: Any, config: RunConfig) -> int:
    """About how many bytes the model of finished work will take: all its weights, or those of its adapter alone."""
    is_adapter = config.peft is not None and not config.output.merged
    return sum(
        sharing.num_elements(one) * (one.element_size() if one.is_floating_point() else 2)
        for one in made.parameters()
        if one.requires_grad or not is_adapter
    )


def _assembled(adapted: Any, weights: Mapping[str, Any]) -> Any:
    """A model with its adapter that is shared out, put together from all its weights."""
    import torch

    shared = adapted.get_base_model()
    with torch.device("meta"):
        bare = sharing.own_class(shared)(shared.config)
        made = _put_on(bare, adapted.peft_config["default"])
    made.load_state_dict(weights, assign=True)
    for name in ("generation_config", "_weight_conversions"):  # How it writes, and how its files are written.
        if hasattr(shared, name):
            setattr(bare, name, getattr(shared, name))
    return made


def _name_base(path: Path, config: RunConfig) -> None:
    """Let an adapter name its base as the world does, not by where it lay in the pod."""
    scheme, _, rest = config.model.uri.partition("://")
    settings = json.loads(path.read_text())
    settings["base_model_name_or_path"] = rest if scheme == "hf" else config.model.uri
    settings["revision"] = config.model.revision
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def _refuse(config: RunConfig, wanted: Peft) -> None:
    if wanted.quantization is not None and wanted.method != "qlora":
        raise ConfigurationError(
            "NothingToQuantize", f"peft.quantization is for method: qlora, not for {wanted.method}. Leave it out."
        )
    if config.model.freeze:
        raise ConfigurationError(
            "NothingToFreeze",
            "model.freeze does nothing beside peft, which trains no weight of the model itself. Remove one of the two.",
        )
    optimizer = str(config.training.optim)
    if optimizer.startswith(OF_WHOLE_MODELS):
        raise ConfigurationError(
            "OptimizerUnsuitable",
            f"training.optim: {optimizer} works on whole matrices, and peft trains none. Use adamw_torch, or "
            "remove peft.",
        )
    if ALL_LINEAR in wanted.target_modules and not _is_all(wanted):
        raise ConfigurationError(
            "ModuleNotFound", f"peft.targetModules: {ALL_LINEAR} stands alone. Remove it, or the names beside it."
        )


def _is_all(wanted: Peft) -> bool:
    return wanted.target_modules == (ALL_LINEAR,)


def _named(made: Any, names: Iterable[str]) -> set[str]:
    """The full names of modules; peft would take norm for every name that ends so, input_layernorm among them."""
    return {one for one, _ in made.named_modules() for name in names if _is_called(one, name)}


def _is_called(module: str, name: str) -> bool:
    return module == name or module.endswith(f".{name}")


def _refuse_unknown(made: Any, wanted: Peft, fresh: set[str]) -> None:
    """A name that matches nothing is a mistake, even beside one that matches."""
    modules = dict(made.named_modules())
    linear = {name for name, module in modules.items() if name not in fresh and _takes_a_matrix(module)}
    if not _is_all(wanted):
        _refuse_absent("peft.targetModules", wanted.target_modules, linear, linear)
    _refuse_absent("peft.modulesToSave", wanted.modules_to_save, modules, {name for name in modules if name})


def _refuse_absent(field: str, names: Iterable[str], among: Iterable[str], shown: Iterable[str]) -> None:
    known = [*among]
    for name in names:
        if not any(_is_called(one, name) for one in known):
            there = sorted({one.rpartition(".")[2] for one in shown} - {str(n) for n in range(1000)})
            more = f" and {len(there) - MOST_NAMES} more" if len(there) > MOST_NAMES else ""
            raise ConfigurationError(
                "ModuleNotFound",
                f"{field}: {name} is no module of the model. It has {', '.join(there[:MOST_NAMES])}{more}. Correct "
                "the name.",
            )


def _takes_a_matrix(module: Any) -> bool:
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | torch.nn.Embedding | torch.nn.Conv2d | Conv1D)


def _has_transposed(made: Any) -> bool:
    """Whether linear layers keep their weights the other way round, as GPT-2's do."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in made.modules())
