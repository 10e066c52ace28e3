"""Text classification: a label, labels or an amount for a text or a pair of texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data.collating import Padding
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.measuring import metrics
from finetune_trainer.measuring.showing import Answers
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks.answers import Answer, answer
from finetune_trainer.tasks.texts import (
    at_once,
    both_splits,
    evaluates,
    further_splits,
    test_split,
    text_columns,
    texts,
    vocabulary,
)


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A classifier with as many outputs as the data have labels, or one for an amount."""
    import transformers

    with at_once(args):
        raw = data.raw(config, cache, evaluates=evaluates(args))
    columns = text_columns(raw.train, config, most=2)
    label = data.column(raw.train, config.dataset.columns.label or "label", config.dataset)
    asked = answer(config, args, raw.train, label)
    tokenizer = models.tokenizer(config)
    model = models.model(config, transformers.AutoModelForSequenceClassification, tokenizer, **asked.settings)
    examples = _Examples(config, tokenizer, models.longest(config, model, tokenizer), columns, label, asked)
    train, held_out = both_splits(examples.of, raw, config, args)
    return Prepared(
        model=model,
        processing_class=tokenizer,
        train_dataset=train,
        eval_dataset=held_out,
        collator=Padding(
            pad_token_id=tokenizer.pad_token_id,
            multiple_of=8 if args.fp16 or args.bf16 else None,
            labels_rows=asked.is_list,
        ),
        loss=asked.loss,
        preprocess_logits_for_metrics=asked.rows,
        compute_metrics=partial(measured, asked, _chosen(config, plan, asked)),
        fingerprint=data.fingerprint([train] if held_out is None else [train, held_out]),
        answers=Answers(of=partial(answered, asked), names=asked.names),
        shown=asked.shown,
        test_dataset=test_split(examples.of, raw, args),
        further=further_splits(examples.of, raw, args),
    )


@dataclass(frozen=True, slots=True)
class _Examples:
    config: RunConfig
    tokenizer: Any
    longest: int
    columns: tuple[str, ...]
    label: str
    answer: Answer

    def of(self, table: Any, split: str) -> Any:
        """The tokenized rows of a split."""
        for name in (*self.columns, self.label):
            data.column(table, name, self.config.dataset)
        identity = {
            "tokenizer": vocabulary(self.tokenizer),
            "longest": self.longest,
            "columns": (*self.columns, self.label),
            "answer": repr(self.answer.settings),
        }
        numbers = (*self.tokenizer.model_input_names, *(("labels",) if self.answer.is_list else ()))
        single = {} if self.answer.is_list else {"labels": self.answer.type}
        return data.tokenized(table, partial(self._encoded, split), identity, numbers, **single)

    def _encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        given = [texts(batch[name], positions, name, split) for name in self.columns]
        encoded = dict(self.tokenizer(*given, truncation=True, max_length=self.longest))
        values = zip(batch[self.label], positions, strict=True)
        return {**encoded, "labels": [self.answer.label(value, row, split) for value, row in values]}


def _chosen(config: RunConfig, plan: Plan, asked: Answer) -> Mapping[str, Any]:
    if config.training.metric_for_best_model is None or not plan.loss_only:
        return metrics.chosen(config.evaluation.metrics or asked.usual, asked.measures, loss_only=plan.loss_only)
    raise ConfigurationError(
        "MetricUnknown", "prediction_loss_only leaves no metric but the loss. Remove metric_for_best_model."
    )


def measured(asked: Answer, wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    answers, right = answered(asked, evaluated)
    loss = metrics.mean_loss(metrics.rows_of(evaluated))
    return {"loss": loss, **{name: measure(answers, right) for name, measure in wanted.items()}}


def answered(asked: Answer, evaluated: Any) -> tuple[Any, Any]:
    """The answers of an evaluation and the right ones."""
    return asked.read(metrics.rows_of(evaluated)[:, 2:], evaluated.label_ids)
