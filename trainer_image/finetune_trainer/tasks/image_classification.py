"""Image classification: one label for an image."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import images
from finetune_trainer.data.keyed import Fixed, Keyed
from finetune_trainer.loss import CrossEntropy
from finetune_trainer.measuring import class_metrics, metrics, showing
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks.labels import Labels, labels
from finetune_trainer.tasks.texts import at_once, both_splits, evaluates, further_splits, test_split

IMAGE = "image"
"""The column of images in an example's table, whatever the data set calls it."""


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A classifier with as many outputs as the data have labels."""
    import transformers

    with at_once(args):
        raw = data.raw(config, cache, evaluates=evaluates(args))
    label = data.column(raw.train, config.dataset.columns.label or "label", config.dataset)
    known = labels(raw.train, label, config.dataset)
    processor = images.processor(config)
    model = models.model(
        config,
        transformers.AutoModelForImageClassification,
        None,
        id2label=dict(enumerate(known.names)),
        label2id={name: number for number, name in enumerate(known.names)},
        num_labels=len(known.names),
        problem_type="single_label_classification",
    )
    train, held_out = both_splits(_Examples(config, label, known).of, raw, config, args)
    test, further = (
        test_split(_Examples(config, label, known).of, raw, args),
        further_splits(_Examples(config, label, known).of, raw, args),
    )
    mode = "L" if getattr(model.config, "num_channels", 3) == 1 else "RGB"
    plain = images.Seen(processor=processor, column=IMAGE, mode=mode)
    varied = images.Seen(processor=processor, column=IMAGE, mode=mode, augment=config.dataset.augment)
    loss = CrossEntropy(shifted=False, smoothing=args.label_smoothing_factor)
    return Prepared(
        model=model,
        processing_class=processor,
        train_dataset=Keyed(train, varied, seed=args.seed if args.data_seed is None else args.data_seed),
        eval_dataset=None if held_out is None else Fixed(held_out, plain),
        collator=images.batch,
        loss=loss,
        preprocess_logits_for_metrics=partial(rows, loss),
        compute_metrics=partial(measured, _chosen(config, plan, len(known.names))),
        fingerprint=data.fingerprint([one.remove_columns(IMAGE) for one in (train, held_out) if one is not None]),
        answers=showing.Answers(of=answered, names=known.names),
        shown=showing.classes,
        test_dataset=None if test is None else Fixed(test, plain),
        further={name: Fixed(table, plain) for name, table in further.items()},
    )


@dataclass(frozen=True, slots=True)
class _Examples:
    config: RunConfig
    label: str
    labels: Labels

    def of(self, table: Any, split: str) -> Any:
        """The images of a split with the numbers of their labels, and a mark of each image for the fingerprint."""
        import datasets

        column = self.config.dataset.columns.image or "image"
        for name in (column, self.label):
            data.column(table, name, self.config.dataset)
        written = images.as_written(table.select_columns([column, self.label]), column, self._root())
        identity = {"image": column, "label": self.label, "labels": self.labels.names}
        marked = data.tokenized(written, partial(self._marked, column, split), identity, ("mark",))
        shown = written.cast_column(column, datasets.Image()).select_columns([column]).rename_columns({column: IMAGE})
        return datasets.concatenate_datasets([shown, marked], axis=1)

    def _root(self) -> Path | None:
        """Where relative paths of images begin."""
        place = Path(self.config.dataset.uri.removeprefix("file://"))
        return (place if place.is_dir() else place.parent) if self.config.dataset.uri.startswith("file://") else None

    def _marked(
        self, column: str, split: str, batch: dict[str, list[Any]], positions: list[int]
    ) -> dict[str, list[Any]]:
        marks = [images.mark(value, row, split) for value, row in zip(batch[column], positions, strict=True)]
        values = zip(batch[self.label], positions, strict=True)
        return {
            "mark": [[*hashlib.sha256(one).digest()] for one in marks],
            "labels": [self.labels.number(value, row, split) for value, row in values],
        }


def _chosen(config: RunConfig, plan: Plan, classes: int) -> Mapping[str, Any]:
    known = class_metrics.of_classes(classes)
    return metrics.chosen(config.evaluation.metrics or class_metrics.USUAL, known, loss_only=plan.loss_only)


def rows(loss: CrossEntropy, logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The loss, the count and the answer of each row."""
    scores = logits[0] if isinstance(logits, tuple) else logits
    return torch.cat([loss.of_rows(scores, labels), scores.argmax(-1, keepdim=True).double()], dim=1)


def measured(wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    answers, right = answered(evaluated)
    loss = metrics.mean_loss(metrics.rows_of(evaluated))
    return {"loss": loss, **{name: measure(answers, right) for name, measure in wanted.items()}}


def answered(evaluated: Any) -> tuple[metrics.Labels, metrics.Labels]:
    """The answers of an evaluation and the right ones."""
    return metrics.rows_of(evaluated)[:, 2].astype(np.int64), np.asarray(evaluated.label_ids, dtype=np.int64)
