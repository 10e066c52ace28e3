"""One file per task; each makes of a job what a Trainer needs. A new task is one file and one line in `TASKS`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.prepared import Prepared

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "text-classification": "finetune_trainer.tasks.text_classification",
        "text-generation": "finetune_trainer.tasks.text_generation",
        "fill-mask": "finetune_trainer.tasks.fill_mask",
        "summarization": "finetune_trainer.tasks.summarization",
        "translation": "finetune_trainer.tasks.translation",
        "multiple-choice": "finetune_trainer.tasks.multiple_choice",
        "image-classification": "finetune_trainer.tasks.image_classification",
        "conversational": "finetune_trainer.tasks.conversational",
        "preference": "finetune_trainer.tasks.preference",
        "token-classification": "finetune_trainer.tasks.token_classification",
        "question-answering": "finetune_trainer.tasks.question_answering",
    }
)
"""The module of each task; imported when it is asked for, as torch takes seconds."""


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """Model, data, loss and metrics of the job's task; draws random weights from the job's seed alone.

    `args` are the transformers.TrainingArguments of this process, `cache` a folder that the processes of a node share.
    """
    import transformers

    from finetune_trainer.data.passes import endless
    from finetune_trainer.tasks import fitting

    if config.task not in TASKS:
        raise ConfigurationError(
            "Unsupported", f"The task {config.task} is not supported yet. Supported are: {', '.join(TASKS)}."
        )
    make: Callable[..., Prepared] = import_module(TASKS[config.task]).prepared
    transformers.set_seed(args.seed)
    made = make(config, plan, args, cache)
    fitting.check(config, args, made)
    return replace(made, train_dataset=endless(made.train_dataset, config)) if config.dataset.streaming else made
