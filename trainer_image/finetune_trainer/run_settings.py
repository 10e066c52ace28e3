"""The configuration of a W&B run: every hyperparameter, and where all this came from; no key among them."""

import os
from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.work import Work

BLOCKS = ("model", "dataset", "tokenizer", "peft", "distributed", "evaluation", "extensions", "global_batch_size")
"""What the author says beside training; under its own name, as far as it was said."""


def run_settings(config: RunConfig, here: Surroundings, todo: Work) -> dict[str, Any]:
    """What two runs are compared by."""
    said = config.model_dump(mode="json", include=set(BLOCKS), exclude_unset=True, by_alias=True)
    return {
        **todo.settings,
        **said,
        "job": config.job.model_dump(mode="json"),
        "task": config.task,
        "image": here.image,
        "git_ref": here.git_ref,
        "dataset_fingerprint": todo.fingerprint,
        "world_size": int(os.environ.get("WORLD_SIZE", "1")),
    }
