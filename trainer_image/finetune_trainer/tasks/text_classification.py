"""Text classification: one label for a text or a pair of texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune_trainer import data, metrics, models
from finetune_trainer.collating import Padding
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import CrossEntropy
from finetune_trainer.tasks.labels import Labels, labels
from finetune_trainer.tasks.prepared import Prepared
from finetune_trainer.tasks.texts import at_once, both_splits, evaluates, text_columns, texts, vocabulary


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A classifier with as many outputs as the data have labels."""
    import transformers

    with at_once(args):
        raw = data.raw(config, cache, evaluates=evaluates(args))
    columns = text_columns(raw.train, config, most=2)
    label = data.column(raw.train, config.dataset.columns.label or "label", config.dataset)
    known = labels(raw.train, label, config.dataset)
    tokenizer = models.tokenizer(config)
    model = models.model(
        config,
        transformers.AutoModelForSequenceClassification,
        tokenizer,
        id2label=dict(enumerate(known.names)),
        label2id={name: number for number, name in enumerate(known.names)},
        num_labels=len(known.names),
        problem_type="single_label_classification",
    )
    examples = _Examples(config, tokenizer, models.longest(config, model, tokenizer), columns, label, known)
    train, held_out = both_splits(examples.of, raw, config, args)
    loss = CrossEntropy(shifted=False, smoothing=args.label_smoothing_factor)
    return Prepared(
        model=model,
        processing_class=tokenizer,
        train_dataset=train,
        eval_dataset=held_out,
        collator=Padding(pad_token_id=tokenizer.pad_token_id, multiple_of=8 if args.fp16 or args.bf16 else None),
        loss=loss,
        preprocess_logits_for_metrics=partial(rows, loss),
        compute_metrics=partial(measured, _chosen(config, plan, len(known.names))),
        fingerprint=data.fingerprint([train] if held_out is None else [train, held_out]),
    )


@dataclass(frozen=True, slots=True)
class _Examples:
    config: RunConfig
    tokenizer: Any
    longest: int
    columns: tuple[str, ...]
    label: str
    labels: Labels

    def of(self, table: Any, split: str) -> Any:
        """The tokenized rows of a split."""
        for name in (*self.columns, self.label):
            data.column(table, name, self.config.dataset)
        identity = {
            "tokenizer": vocabulary(self.tokenizer),
            "longest": self.longest,
            "columns": (*self.columns, self.label),
            "labels": self.labels.names,
        }
        return data.tokenized(table, partial(self._encoded, split), identity, self.tokenizer.model_input_names)

    def _encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        given = [texts(batch[name], positions, name, split) for name in self.columns]
        encoded = dict(self.tokenizer(*given, truncation=True, max_length=self.longest))
        values = zip(batch[self.label], positions, strict=True)
        return {**encoded, "labels": [self.labels.number(value, row, split) for value, row in values]}


def _chosen(config: RunConfig, plan: Plan, classes: int) -> Mapping[str, Any]:
    known: dict[str, Callable[..., float]] = {
        "accuracy": metrics.accuracy,
        "f1": partial(metrics.f1, classes=classes),
    }
    if config.training.metric_for_best_model is None or not plan.loss_only:
        return metrics.chosen(config.evaluation.metrics, known, loss_only=plan.loss_only)
    raise ConfigurationError(
        "MetricUnknown", "prediction_loss_only leaves no metric but the loss. Remove metric_for_best_model."
    )


def rows(loss: CrossEntropy, logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The loss, the count and the answer of each row."""
    scores = logits[0] if isinstance(logits, tuple) else logits
    return torch.cat([loss.of_rows(scores, labels), scores.argmax(-1, keepdim=True).double()], dim=1)


def measured(wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    numbers = metrics.rows_of(evaluated)
    answers, right = numbers[:, 2].astype(np.int64), np.asarray(evaluated.label_ids, dtype=np.int64)
    return {"loss": metrics.mean_loss(numbers), **{name: measure(answers, right) for name, measure in wanted.items()}}
