"""Image classification: a label, labels or an amount for an image."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import images
from finetune_trainer.measuring.showing import Answers
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples
from finetune_trainer.tasks.answers import Answer, answer, answered, measured

IMAGE = "image"
"""The column of images in an example's table, whatever the data set calls it."""


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A classifier with as many outputs as the data have labels, or one for an amount."""
    import transformers

    raw = examples.raw(config, args, cache)
    label = data.column(raw.train, config.dataset.columns.label or "label", config.dataset)
    asked = answer(config, args, raw.train, label)
    processor = images.processor(config)
    model = models.model(config, transformers.AutoModelForImageClassification, None, **asked.settings)
    found = examples.examples(_Encoding(config, label, asked).of, raw, config, args)
    mode = "L" if getattr(model.config, "num_channels", 3) == 1 else "RGB"
    plain = images.Seen(processor=processor, column=IMAGE, mode=mode)
    varied = images.Seen(processor=processor, column=IMAGE, mode=mode, augment=config.dataset.augment)
    return Prepared(
        **found.parts(drawn=varied, held_out=plain, hidden=IMAGE),
        model=model,
        processing_class=processor,
        collator=images.batch,
        loss=asked.loss,
        preprocess_logits_for_metrics=asked.rows,
        compute_metrics=partial(measured, asked, examples.chosen(config, plan, asked.measures, asked.usual)),
        answers=Answers(of=partial(answered, asked), names=asked.names),
        shown=asked.shown,
    )


@dataclass(frozen=True, slots=True)
class _Encoding:
    config: RunConfig
    label: str
    answer: Answer

    def of(self, table: Any, split: str) -> Any:
        """The images of a split with the numbers of their labels, and a mark of each image for the fingerprint."""
        import datasets

        column = self.config.dataset.columns.image or "image"
        for name in (column, self.label):
            data.column(table, name, self.config.dataset)
        written = images.as_written(table.select_columns([column, self.label]), column, self._root())
        identity = {"image": column, "label": self.label, "answer": repr(self.answer.settings)}
        encode = partial(self._marked, column, split)
        marked = data.tokenized(written, encode, identity, ("mark",), labels=self.answer.type)
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
            "labels": [self.answer.label(value, row, split) for value, row in values],
        }
