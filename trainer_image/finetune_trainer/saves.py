"""The user's own saves, beside the recovery checkpoints: made where somebody reads them, and few at a time."""

import os
from collections.abc import Mapping
from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.training_arguments import arguments
from finetune_trainer.tracking.run import wishes

KEPT = 2
"""How many of them a pod holds, where the job does not say; transformers would remove none."""


def are_read(config: RunConfig, env: Mapping[str, str] = os.environ) -> bool:
    """Whether the job asks for saves, or something reads those that transformers makes by itself.

    To be asked on rank 0 alone: the other nodes do not have all variables, and all must save alike.
    """
    asked = any(name.startswith("save_") for name in arguments(config.training))
    of_ours = config.training.load_best_model_at_end or wishes(config, env).log_model == "checkpoint"
    return bool(asked or of_ours or config.extensions.callbacks)


def settle(args: Any, *, are_read: bool) -> None:
    """Spare a pod's disk in transformers' arguments what nobody reads: each save is a whole model and its optimizer."""
    from transformers.trainer_utils import SaveStrategy

    if not are_read:
        args.save_strategy = SaveStrategy.NO
    if args.save_total_limit is None:
        args.save_total_limit = KEPT
