"""Text classification: a label, labels or an amount for a text or a pair of texts."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.measuring.showing import Answers
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples
from finetune_trainer.tasks.answers import Answer, answer, answered, measured
from finetune_trainer.tasks.texts import padding, text_columns, texts, vocabulary


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A classifier with as many outputs as the data have labels, or one for an amount."""
    import transformers

    raw = examples.raw(config, args, cache)
    columns = text_columns(raw.train, config, most=2)
    label = data.column(raw.train, config.dataset.columns.label or "label", config.dataset)
    asked = answer(config, args, raw.train, label)
    tokenizer = models.tokenizer(config)
    model = models.model(config, transformers.AutoModelForSequenceClassification, tokenizer, **asked.settings)
    encoding = _Encoding(config, tokenizer, models.longest(config, model, tokenizer), columns, label, asked)
    found = examples.examples(encoding.of, raw, config, args)
    varied = examples.varied(config, partial(encoding.encoded, config.dataset.splits.train), columns)
    return Prepared(
        **found.parts(drawn=varied, rows=raw.train.select_columns([*columns, label])),
        model=model,
        processing_class=tokenizer,
        collator=padding(tokenizer, args, labels_rows=True),
        loss=asked.loss,
        preprocess_logits_for_metrics=asked.rows,
        compute_metrics=partial(measured, asked, examples.chosen(config, plan, asked.measures, asked.usual)),
        answers=Answers(of=partial(answered, asked), names=asked.names),
        shown=asked.shown,
    )


@dataclass(frozen=True, slots=True)
class _Encoding:
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
        inputs = self.tokenizer.model_input_names
        return data.tokenized(table, partial(self.encoded, split), identity, inputs, labels=self.answer.type)

    def encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        """The examples of some rows."""
        given = [texts(batch[name], positions, name, split) for name in self.columns]
        encoded = dict(self.tokenizer(*given, truncation=True, max_length=self.longest))
        values = zip(batch[self.label], positions, strict=True)
        return {**encoded, "labels": [self.answer.label(value, row, split) for value, row in values]}
