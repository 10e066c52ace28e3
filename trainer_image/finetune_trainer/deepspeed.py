"""DeepSpeed ZeRO: what it is told, and what it must not do when it starts."""

import os
from typing import Any

from finetune_trainer.contract.run_config import DeepSpeed
from finetune_trainer.errors import ConfigurationError

FROM_ARGUMENTS = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
)


def settings(wanted: DeepSpeed) -> dict[str, Any]:
    """DeepSpeed's configuration; what transformers knows better says `auto`."""
    if wanted.config and wanted.zero_stage is not None:
        raise ConfigurationError(
            "DeepSpeedContradicted", "distributed.deepspeed has zeroStage and config. Leave one of the two out."
        )
    if wanted.zero_stage == 3:
        raise ConfigurationError(
            "Unsupported", "distributed.deepspeed.zeroStage 3 is not supported yet. Use stage 1 or 2."
        )
    if not wanted.config and wanted.zero_stage is None:
        raise ConfigurationError("DeepSpeedUnsaid", "distributed.deepspeed is empty. Set zeroStage to 1 or 2.")
    whole: dict[str, Any] = dict(wanted.config) or _zero(wanted.zero_stage or 1)
    return {**dict.fromkeys(FROM_ARGUMENTS, "auto"), **whole}


def _zero(stage: int) -> dict[str, Any]:
    return {
        "zero_optimization": {"stage": stage, "contiguous_gradients": True, "overlap_comm": False},
        # The optimizer is torch's own, so nothing is compiled; DeepSpeed has not tested it with ZeRO, our tests do.
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
    }


def make_ready(*, cpu: bool) -> None:
    """Keep DeepSpeed from compiling its CPU collective at start; gloo does the same without."""
    if not cpu:
        return
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
