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
from finetune_trainer.data.collating import Padding
from finetune_trainer.data.keyed import Fixed, Keyed
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED, CrossEntropy
from finetune_trainer.measuring import metrics, showing
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import words
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

MASKED = 0.15
"""The share of tokens that are predicted, where the job does not say."""
TAKEN_OUT, REPLACED = 0.8, 0.1
"""Of these, the share that the model sees as the mask, and as another word; the rest it sees as they are."""
SPECIAL = "special_tokens_mask"


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A masked language model and texts with words taken out."""
    import transformers

    with at_once(args):
        raw = data.raw(config, cache, evaluates=evaluates(args))
    (name,) = text_columns(raw.train, config, most=1)
    tokenizer = models.tokenizer(config)
    _refuse_without_mask(config, tokenizer)
    model = models.model(config, transformers.AutoModelForMaskedLM, tokenizer)
    examples = _Examples(config, tokenizer, models.longest(config, model, tokenizer), name)
    train, held_out = both_splits(examples.of, raw, config, args)
    test, further = test_split(examples.of, raw, args), further_splits(examples.of, raw, args)
    masks = Masks(mask=tokenizer.mask_token_id, words=len(tokenizer), share=config.dataset.mask_probability or MASKED)
    loss = CrossEntropy(shifted=False, smoothing=args.label_smoothing_factor)
    return Prepared(
        model=model,
        processing_class=tokenizer,
        train_dataset=Keyed(train, masks, seed=args.seed if args.data_seed is None else args.data_seed),
        eval_dataset=None if held_out is None else Fixed(held_out, masks),
        collator=Padding(pad_token_id=tokenizer.pad_token_id, multiple_of=8 if args.fp16 or args.bf16 else None),
        loss=loss,
        preprocess_logits_for_metrics=partial(words.rows, loss),
        compute_metrics=partial(
            words.measured, metrics.chosen(config.evaluation.metrics, words.MEASURES, loss_only=plan.loss_only)
        ),
        fingerprint=data.fingerprint([train] if held_out is None else [train, held_out]),
        shown=showing.words,
        test_dataset=None if test is None else Fixed(test, masks),
        further={name: Fixed(table, masks) for name, table in further.items()},
    )


def _refuse_without_mask(config: RunConfig, tokenizer: Any) -> None:
    if tokenizer.mask_token_id is None:
        raise ConfigurationError(
            "ModelUnsuitable",
            f"The tokenizer of {config.tokenizer.uri or config.model.uri} has no mask token, so no word can be taken "
            "out. Choose an encoder in model.uri.",
        )


@dataclass(frozen=True, slots=True)
class _Examples:
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
        if len(encoded) == 0:
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
