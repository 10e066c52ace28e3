"""The model and the tokenizer, from the Hub or a mounted folder, as the job wants them."""

import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from finetune_trainer import weightless
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.sources import ModelSource
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.models import adapters, quantized
from finetune_trainer.sources import folder

ALIGNMENT = 64
"""Bytes of the widest vector."""
NO_LIMIT = 1_000_000
"""Tokenizers without a limit say a number beyond this."""


def tokenizer(config: RunConfig) -> Any:
    """The job's tokenizer, padding on the right."""
    import transformers

    wanted, what = config.tokenizer, "tokenizer" if config.tokenizer.uri else "model"
    place = folder(wanted.uri or config.model.uri, wanted.revision if wanted.uri else config.model.revision, what=what)
    try:
        loaded = transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=config.model.trust_remote_code)
    except (OSError, ValueError, ImportError, KeyError) as problem:
        raise ConfigurationError(
            "TokenizerNotFound",
            f"{wanted.uri or config.model.uri} holds no tokenizer that transformers can read. Name another one in "
            "tokenizer.uri.",
        ) from problem
    if len(loaded) <= len(loaded.all_special_tokens):  # transformers makes an empty one where there are no files.
        raise ConfigurationError(
            "TokenizerNotFound",
            f"{wanted.uri or config.model.uri} holds a tokenizer without words, or none. Name another one in "
            "tokenizer.uri.",
        )
    if wanted.chat_template is not None:
        loaded.chat_template = wanted.chat_template
    _give_padding(loaded, wanted.pad_token)
    loaded.padding_side = "right"
    return loaded


def _give_padding(loaded: Any, wanted: str | None) -> None:
    if wanted is not None and wanted not in loaded.get_vocab():
        raise ConfigurationError(
            "PadTokenUnknown", f"tokenizer.padToken {wanted} is not in the vocabulary. Choose a token that is."
        )
    if wanted is not None:
        loaded.pad_token = wanted
    elif loaded.pad_token is None:
        loaded.pad_token = loaded.eos_token or loaded.unk_token
    if loaded.pad_token is None:
        raise ConfigurationError(
            "PadTokenUnknown", "The tokenizer has neither a padding nor an end token. Name one in tokenizer.padToken."
        )


def model(config: RunConfig, loader: Any, loaded_tokenizer: Any | None, **task: Any) -> Any:
    """The job's model by one of transformers' Auto classes; `task` are what the task sets of its configuration."""
    place = folder(config.model.uri, config.model.revision, what="model")
    adapters.refuse(place, config)
    shape = settings(place, config.model, task)
    quantized.refuse_other(shape, config)
    if loaded_tokenizer is not None:
        shape.pad_token_id = loaded_tokenizer.pad_token_id
    try:
        made, info = _loaded(loader, place, shape, config)
    except Exception as problem:
        raise _in_words(problem, config) from problem
    _freeze(made, config.model.freeze)
    return adapters.adapted(config, made, {*info["missing_keys"], *(one[0] for one in info["mismatched_keys"])})


def _loaded(loader: Any, place: Path, shape: Any, config: RunConfig) -> tuple[Any, dict[str, Any]]:
    """The model, and which of its weights are not from the place."""
    source = config.model
    options: dict[str, Any] = {"trust_remote_code": source.trust_remote_code}
    if source.attn_implementation is not None:
        options["attn_implementation"] = source.attn_implementation
    if weightless.is_on():
        return weightless.made(loader, shape, **options)
    options |= {"config": shape, "dtype": source.dtype, "ignore_mismatched_sizes": True, "output_loading_info": True}
    place = weightless.checkpoint() or place
    options |= quantized.loading(config, shape, partial(loader.from_pretrained, place, **options))
    made, info = loader.from_pretrained(place, **options)
    _align(made)
    return quantized.prepared(made), info


def _align(made: Any) -> None:
    """Move weights on a CPU to where its vectors begin, as torch puts what it makes.

    In memory they lie as in their file, and a CPU's libraries round a sum differently at another place: the first
    weights' file and a checkpoint's would not give the same model in the end.
    """
    import torch

    if torch.cuda.is_available():
        return  # Where they are copied to; and a copy here would be one more of the whole model.
    for one in (*made.parameters(), *made.buffers()):
        if one.data_ptr() % ALIGNMENT:
            one.data = one.data.clone()


def settings(place: Path, source: ModelSource, task: dict[str, Any]) -> Any:
    """A model's own configuration, with what the job and its task set."""
    import transformers

    try:
        found = transformers.AutoConfig.from_pretrained(place, trust_remote_code=source.trust_remote_code)
    except (OSError, ValueError, KeyError) as problem:
        if "trust_remote_code" in str(problem):
            raise ConfigurationError(
                "ModelNeedsItsCode",
                f"{source.uri} brings its own Python code, which would run in the pod beside the job's secrets. Read "
                "it, then set model.trustRemoteCode, with a commit in model.revision.",
            ) from problem
        raise ConfigurationError(
            "ModelNotFound",
            f"{source.uri} holds no model that transformers can read: {_first_line(problem)}. Correct model.uri.",
        ) from problem
    for name, value in source.config.items():
        if not hasattr(found, name):
            raise ConfigurationError(
                "ModelConfigUnknown",
                f"model.config: {name} is not a setting of a {found.model_type} model. Correct or remove it.",
            )
        setattr(found, name, _of_the_kind(getattr(found, name), value))
    for name, value in task.items():
        setattr(found, name, value)
    return found


def _of_the_kind(known: Any, value: Any) -> Any:
    """The value, as a float where the known one is: kubectl sends 1.0 as 1, which transformers refuses there."""
    return float(value) if isinstance(known, float) and type(value) is int else value


def _in_words(problem: Exception, config: RunConfig) -> Exception:
    """Why a model did not load, for its author; an unknown problem stays what it is."""
    if "Unrecognized configuration class" in str(problem):
        return ConfigurationError(
            "ModelUnsuitable", f"{config.model.uri} cannot do {config.task}. Choose another model or task."
        )
    if isinstance(problem, ImportError):
        return ConfigurationError("ModelUnsuitable", f"{config.model.uri} needs more: {_first_line(problem)}.")
    if isinstance(problem, OSError | ValueError | KeyError) or type(problem).__name__ == "SafetensorError":
        return ConfigurationError(
            "ModelUnreadable",
            f"The weights of {config.model.uri} cannot be read: {_first_line(problem)}. Put the whole model there.",
        )
    return problem


def _first_line(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return lines[0].rstrip(".")


def _freeze(made: Any, patterns: tuple[str, ...]) -> None:
    names = dict(made.named_parameters())
    for pattern in patterns:
        matching = fnmatch.filter(names, pattern)
        if not matching:
            raise ConfigurationError(
                "ParameterNotFound", f"model.freeze: {pattern} matches no parameter. They begin {next(iter(names))}."
            )
        for name in matching:
            names[name].requires_grad_(requires_grad=False)
    if not any(parameter.requires_grad for parameter in names.values()):
        raise ConfigurationError("NothingToTrain", "model.freeze leaves no parameter to train. Remove a pattern.")


def longest(config: RunConfig, made: Any, loaded_tokenizer: Any) -> int:
    """The longest example in tokens."""
    positions, wanted = _positions(made), config.tokenizer.max_length
    if wanted is not None and positions is not None and wanted > positions:
        raise ConfigurationError(
            "MaxLengthTooLarge",
            f"tokenizer.maxLength {wanted} is more than the {positions} positions that the model has. Lower it.",
        )
    own = loaded_tokenizer.model_max_length
    limits = (wanted, own if wanted is None and own < NO_LIMIT else None, positions)
    found = min((limit for limit in limits if limit is not None), default=512)
    if found <= loaded_tokenizer.num_special_tokens_to_add():
        raise ConfigurationError(
            "MaxLengthTooSmall",
            f"tokenizer.maxLength {found} leaves no room for a text beside special tokens. Raise it.",
        )
    return found


def _positions(made: Any) -> int | None:
    """How many tokens a model can tell apart by their places; no number where it does not count them."""
    known: int | None = getattr(made.config, "max_position_embeddings", None)
    for name, module in made.named_modules():
        # RoBERTa and its kin begin to count behind the padding token.
        before: int | None = getattr(module, "padding_idx", None) if name.endswith("position_embeddings") else None
        if known is not None and before is not None:
            return known - before - 1
    return known
