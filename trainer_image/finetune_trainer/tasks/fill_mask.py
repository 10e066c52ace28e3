"""Fill-mask: an encoder learns to tell the words that were taken out of a text, one text to an example.

Words are taken out anew in every epoch; see `keyed` for why a restart does not change which.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import streams
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED, CrossEntropy
from finetune_trainer.measuring import showing
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples, words
from finetune_trainer.tasks.texts import padding, text_columns, texts, vocabulary

MASKED = 0.15
"""The share of tokens that are predicted, where the job does not say."""
TAKEN_OUT, REPLACED = 0.8, 0.1
"""Of these, the share that the model sees as the mask, and as another word; the rest it sees as they are."""
SPECIAL = "special_tokens_mask"


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A masked language model and texts with words taken out."""
    import transformers

    raw = examples.raw(config, args, cache)
    (name,) = text_columns(raw.train, config, most=1)
    tokenizer = models.tokenizer(config)
    _refuse_without_mask(config, tokenizer)
    model = models.model(config, transformers.AutoModelForMaskedLM, tokenizer)
    encoding = _Encoding(config, tokenizer, models.longest(config, model, tokenizer), name)
    masks = Masks(mask=tokenizer.mask_token_id, words=len(tokenizer), share=config.dataset.mask_probability or MASKED)
    loss = CrossEntropy(shifted=False, smoothing=args.label_smoothing_factor)
    return Prepared(
        **examples.examples(encoding.of, raw, config, args).parts(drawn=masks, held_out=masks),
        model=model,
        processing_class=tokenizer,
        collator=padding(tokenizer, args),
        loss=loss,
        preprocess_logits_for_metrics=partial(words.rows, loss),
        compute_metrics=partial(words.measured, examples.chosen(config, plan, words.MEASURES)),
        shown=showing.words,
    )


def _refuse_without_mask(config: RunConfig, tokenizer: Any) -> None:
    if tokenizer.mask_token_id is None:
        raise ConfigurationError(
            "ModelUnsuitable",
            f"The tokenizer of {config.tokenizer.uri or config.model.uri} has no mask token, so no word can be taken "
            "out. Choose an encoder in model.uri.",
        )


@dataclass(frozen=True, slots=True)
class _Encoding:
    config: RunConfig
    tokenizer: Any
    longest: int
    column: str

    def of(self, table: Any, split: str) -> Any:
        """The tokenized texts of a split, without those that are empty."""
        data.column(table, self.column, self.config.dataset)
        identity = {"masked": vocabulary(self.tokenizer), "longest": self.longest, "column": self.column}
        encoded = data.tokenized(
            table, partial(self._encoded, split), identity, (*self.tokenizer.model_input_names, SPECIAL)
        )
        if len(streams.head(encoded)) == 0:
            raise ConfigurationError(
                "EmptyDataset", f"No text of {split} has a token. Name the column of texts in dataset.columns.text."
            )
        return encoded

    def _encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        given = texts(batch[self.column], positions, self.column, split)
        encoded = dict(self.tokenizer(given, truncation=True, max_length=self.longest, return_special_tokens_mask=True))
        kept = [number for number, special in enumerate(encoded[SPECIAL]) if not all(special)]
        return {name: [values[number] for number in kept] for name, values in encoded.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Takes words out of an example."""

    mask: int
    """The mask token."""
    words: int
    """How many tokens the tokenizer has."""
    share: float
    """The share of tokens that are predicted; of every text at least one."""

    def __call__(self, row: dict[str, Any], dice: np.random.Generator) -> dict[str, Any]:
        """The example with some of its tokens hidden, and those as its labels."""
        ids, special = np.asarray(row["input_ids"]), np.asarray(row[SPECIAL], dtype=bool)
        chance = np.where(special, 2.0, dice.random(len(ids)))
        predicted = (chance < self.share) | (chance == chance.min())
        seen = dice.random(len(ids))
        others = dice.integers(self.words, size=len(ids))
        hidden = np.where(seen < TAKEN_OUT, self.mask, np.where(seen < TAKEN_OUT + REPLACED, others, ids))
        rest = {name: value for name, value in row.items() if name not in {"input_ids", SPECIAL}}
        return {
            **rest,
            "input_ids": np.where(predicted, hidden, ids).tolist(),
            "labels": np.where(predicted, ids, IGNORED).tolist(),
        }
