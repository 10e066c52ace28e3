"""What the job asks for, as the arguments that transformers is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.training_arguments import arguments
from finetune_trainer.data import streams
from finetune_trainer.distributed import deepspeed, fsdp
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.pod.progress import START_PATIENCE

DEFAULT_BATCH_SIZE = 8
"""transformers' per_device_train_batch_size."""
BETTER_WHEN_LOWER = frozenset({"loss", "perplexity", "mse", "mae", "rmse"})
"""Metrics of which transformers knows only the first to be better when lower."""
FOLLOWING = frozenset({"reduce_lr_on_plateau", "greedy"})
"""Courses of the learning rate that follow the evaluations."""
DEFAULT_CLIPPING = 1.0
"""transformers' max_grad_norm."""
EVAL_ACCUMULATION = 32
"""Batches after which an evaluation's rows leave the device, where the job does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the job is trained by a given number of processes."""

    arguments: Mapping[str, Any]
    """For transformers.TrainingArguments, all but output_dir."""
    loss_only: bool
    """Whether an evaluation yields the loss alone."""
    examples_per_step: int
    """Examples of one optimizer step, over all processes."""


def plan(config: RunConfig, world_size: int) -> Plan:
    """How `world_size` processes train the job; touches nothing."""
    refuse_unbuilt(config)
    wanted = arguments(config.training)
    batch = int(wanted.get("per_device_train_batch_size", DEFAULT_BATCH_SIZE))
    accumulation = _accumulation(config, wanted, batch, world_size)
    loss_only = bool(wanted.pop("prediction_loss_only", False))
    settings: dict[str, Any] = {"disable_tqdm": True, "eval_accumulation_steps": EVAL_ACCUMULATION, **wanted}
    settings |= {"gradient_accumulation_steps": accumulation, "report_to": [], "label_names": ["labels"]}
    if world_size > 1:
        settings.setdefault("ddp_timeout", int(START_PATIENCE))  # The first rank may prepare the data for so long.
    settings |= _best(config, wanted) | streams.settings(config)
    settings |= _direction(settings)
    if config.distributed.deepspeed is not None:
        said = _said_to_deepspeed(wanted, batch, accumulation, world_size)
        settings |= {"deepspeed": deepspeed.settings(config.distributed.deepspeed, said), "optim": _optimizer(wanted)}
    elif config.distributed.fsdp is not None:
        settings |= fsdp.settings(config.distributed.fsdp, world_size)
    elif world_size > 1:
        ddp = config.distributed.ddp
        settings["ddp_find_unused_parameters"] = ddp is not None and ddp.find_unused_parameters
    return Plan(arguments=settings, loss_only=loss_only, examples_per_step=batch * accumulation * world_size)


def _accumulation(config: RunConfig, wanted: Mapping[str, Any], batch: int, world_size: int) -> int:
    total, given = config.global_batch_size, wanted.get("gradient_accumulation_steps")
    if total is None:
        return int(given or 1)
    steps, rest = divmod(total, batch * world_size)
    if rest or not steps:
        raise ConfigurationError(
            "GlobalBatchSizeIndivisible",
            f"globalBatchSize {total} is not a multiple of per_device_train_batch_size {batch} times {world_size} "
            f"processes. Choose a multiple of {batch * world_size}, or another per_device_train_batch_size.",
        )
    if given not in {None, steps}:
        raise ConfigurationError(
            "GlobalBatchSizeContradicted",
            f"globalBatchSize {total} means {steps} accumulation steps with {world_size} processes, and "
            f"gradient_accumulation_steps is {given}. Leave one of the two out.",
        )
    return steps


def _best(config: RunConfig, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a better model: the loss where early stopping has no other, and which metrics are better when low."""
    metric = wanted.get("metric_for_best_model")
    if metric is None:
        return {"metric_for_best_model": "loss"} if config.evaluation.early_stopping is not None else {}
    lower = str(metric).rpartition("/")[2].removeprefix("eval_") in BETTER_WHEN_LOWER
    return {"greater_is_better": False} if lower and wanted.get("greater_is_better") is None else {}


def _direction(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a rate that follows the evaluations looks for better; transformers has it follow every metric downwards."""
    metric, upwards = settings.get("metric_for_best_model") or "loss", settings.get("greater_is_better")
    if upwards is None:
        upwards = not str(metric).endswith("loss")
    if settings.get("lr_scheduler_type") not in FOLLOWING or not upwards:
        return {}
    return {"lr_scheduler_kwargs": {"mode": "max", **(settings.get("lr_scheduler_kwargs") or {})}}


def _said_to_deepspeed(
    wanted: Mapping[str, Any], batch: int, accumulation: int, world_size: int
) -> dict[str, deepspeed.Said]:
    said = {
        "train_batch_size": ("globalBatchSize", batch * accumulation * world_size),
        "train_micro_batch_size_per_gpu": ("training.per_device_train_batch_size", batch),
        "gradient_accumulation_steps": ("training.gradient_accumulation_steps", accumulation),
        "gradient_clipping": ("training.max_grad_norm", wanted.get("max_grad_norm", DEFAULT_CLIPPING)),
        "bf16.enabled": ("training.bf16", bool(wanted.get("bf16") or wanted.get("bf16_full_eval"))),
        "fp16.enabled": ("training.fp16", bool(wanted.get("fp16") or wanted.get("fp16_full_eval"))),
    }
    return {place: deepspeed.Said(field=field, value=value) for place, (field, value) in said.items()}


def _optimizer(wanted: Mapping[str, Any]) -> str:
    # Fused AdamW would be compiled on the spot under DeepSpeed; the plain one gives the same numbers.
    chosen = str(wanted.get("optim", "adamw_torch"))
    return "adamw_torch" if chosen == "adamw_torch_fused" else chosen


def refuse_unbuilt(config: RunConfig) -> None:
    """Refuse what the contract can say and the trainer cannot do yet."""
    method = config.peft.method if config.peft is not None else "lora"
    stage = deepspeed.stage(config.distributed.deepspeed)
    unbuilt = {
        "stage 3 of distributed.deepspeed together with peft.method: qlora": stage == 3 and method == "qlora",
        "distributed.fsdp together with peft.method: qlora": config.distributed.fsdp is not None and method == "qlora",
        "training.use_liger_kernel": bool(config.training.use_liger_kernel),
        "training.torch_compile": is_compiled(config),
        "training.accelerator_config.even_batches: false": (config.training.accelerator_config or {}).get(
            "even_batches", True
        )
        is False,
    }
    for name, wanted in unbuilt.items():
        if wanted:
            raise ConfigurationError("Unsupported", f"{name} is not supported yet. Remove it from the job.")


def is_compiled(config: RunConfig) -> bool:
    """Whether the job asks for torch.compile; what that makes of a batch depends on the batches before it."""
    wanted = config.training
    return bool(wanted.torch_compile or wanted.torch_compile_backend or wanted.torch_compile_mode)


def training_arguments(plan: Plan, output_dir: Path) -> Any:
    """transformers.TrainingArguments on this machine; meets the other processes."""
    import torch
    import transformers

    cpu = not torch.cuda.is_available()
    here: dict[str, Any] = {"output_dir": str(output_dir), "use_cpu": cpu}
    if cpu:
        here["dataloader_pin_memory"] = False
        if "ddp_find_unused_parameters" in plan.arguments or "fsdp" in plan.arguments:
            here["ddp_backend"] = "gloo"
    if "deepspeed" in plan.arguments:
        deepspeed.make_ready(cpu=cpu)
    try:
        made = transformers.TrainingArguments(**{**plan.arguments, **here})
    except (ValueError, TypeError, ImportError) as problem:
        raise ConfigurationError(
            "TrainingArgumentsRefused",
            f"transformers refuses spec.training: {str(problem).rstrip('.')}. Correct it there.",
        ) from problem
    if "deepspeed" in plan.arguments:
        deepspeed.join(cpu=cpu)
    if "fsdp" in plan.arguments:
        fsdp.make_ready(cpu=cpu)
    return made
