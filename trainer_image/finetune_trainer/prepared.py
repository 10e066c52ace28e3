"""What every task hands to the Trainer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_trainer.loss import Outputs, TaskLoss, plain
from finetune_trainer.measuring.generating import Writing
from finetune_trainer.measuring.showing import Answers, Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A task, ready for the Trainer."""

    model: Any
    """The transformers model."""
    processing_class: Any
    """The tokenizer; saved beside the model."""
    train_dataset: Any
    """Tokenized examples, with the columns that the model takes and `labels`."""
    eval_dataset: Any | None
    """The same of the evaluation split; absent when the job does not evaluate."""
    collator: Callable[[list[dict[str, Any]]], dict[str, Any]]
    """Makes a padded batch; draws nothing."""
    loss: TaskLoss
    """For `RightLoss.task_loss`."""
    outputs: Outputs = plain
    """For `RightLoss.task_outputs`."""
    preprocess_logits_for_metrics: Callable[[Any, Any], Any]
    """A few numbers for each row."""
    compute_metrics: Callable[[Any], Mapping[str, float]]
    """Metrics from these; its `loss` replaces the Trainer's, which weighs unequal batches equally."""
    fingerprint: str
    """The SHA-256 of the tokenized data: equal data, equal fingerprint, on any machine."""
    writing: Writing | None = None
    """How the model writes texts in an evaluation; `preprocess_logits_for_metrics` gets them after the logits."""
    answers: Answers | None = None
    """What an evaluation's rows say as answers; absent where an example has no single one."""
    test_dataset: Any | None = None
    """The same of the test split; absent when the job names none."""
    further: Mapping[str, Any] = field(default_factory=dict)
    """The same of the further splits that evaluations measure, by name."""
    shown: Shown | None = None
    """What a table of predictions shows of a batch."""
