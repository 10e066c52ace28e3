"""Trains tiny cases and writes what was logged; run by torchrun for tests that need ranks, called by those that do not.

As a program: `learn.py FOLDER`, which holds `cases.json`; rank 0 writes `logged.json`.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from accelerate.state import AcceleratorState
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.loss import RightLoss
from finetune_trainer.measuring.generating import Writes
from finetune_trainer.tasks import prepared
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

COMPARED = (
    *("loss", "grad_norm", "eval_loss", "eval_accuracy", "eval_f1", "eval_perplexity", "eval_rougeL"),
    *("eval_f1_micro", "eval_mse", "eval_exact_match", "train_loss"),
)


class TaskTrainer(RightLoss, Writes, transformers.Trainer):
    """The stock Trainer with the loss of the task."""


def trainer(config: RunConfig, folder: Path) -> TaskTrainer:
    """A Trainer of the job."""
    wanted = plan(config, int(os.environ.get("WORLD_SIZE", "1")))
    args = training_arguments(wanted, folder / "out")
    ready = prepared(config, wanted, args, folder / "cache")
    made = TaskTrainer(
        model=ready.model,
        args=args,
        train_dataset=ready.train_dataset,
        eval_dataset=ready.eval_dataset,
        data_collator=ready.collator,
        processing_class=ready.processing_class,
        compute_metrics=ready.compute_metrics,
        preprocess_logits_for_metrics=ready.preprocess_logits_for_metrics,
    )
    made.task_loss, made.task_outputs, made.writing = ready.loss, ready.outputs, ready.writing
    return made


def logged(config: RunConfig, folder: Path) -> list[dict[str, float]]:
    """Train the job; every logged row's step and the values that must not depend on how the work was shared."""
    return learned(config, folder)[0]


def learned(config: RunConfig, folder: Path) -> tuple[list[dict[str, float]], str]:
    """The logged rows, and what the model was wrapped in."""
    forget_the_case_before()
    made = trainer(config, folder)
    made.train()
    rows = [only(row) for row in made.state.log_history if set(row) & set(COMPARED)]
    stage = f" {made.model_wrapped.zero_optimization_stage()}" if made.is_deepspeed_enabled else ""
    return rows, type(made.model_wrapped).__name__ + stage


def forget_the_case_before() -> None:
    """Have accelerate and transformers see a new process, which they would take for one under DeepSpeed else."""
    os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)
    AcceleratorState._reset_state()
    unset_hf_deepspeed_config()


def only(row: Mapping[str, Any]) -> dict[str, float]:
    """What is compared of a row."""
    return {name: float(row[name]) for name in ("step", *COMPARED) if name in row}


def main() -> None:
    """Train every case of the folder."""
    folder = Path(sys.argv[1])
    cases = json.loads((folder / "cases.json").read_text())
    rows = {name: learned(RunConfig.model_validate(case), folder) for name, case in cases.items()}
    if os.environ["RANK"] == "0":
        (folder / "logged.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # gloo's threads may abort a process that ends in order.
