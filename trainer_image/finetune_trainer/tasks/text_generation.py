"""Text generation: a causal language model learns to continue texts, one text to an example."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import packing, streams
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import CrossEntropy, plain
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


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A causal language model and texts that end with the end token."""
    with at_once(args):
        raw = data.raw(config, cache, evaluates=evaluates(args))
    (name,) = text_columns(raw.train, config, most=1)
    tokenizer = models.tokenizer(config)
    model = causal_model(config, tokenizer)
    examples = _Examples(config, tokenizer, models.longest(config, model, tokenizer), name)
    train, held_out = both_splits(examples.of, raw, config, args)
    made = language_model(config, plan, args, model, tokenizer, train, held_out)
    test, further = test_split(examples.of, raw, args), further_splits(examples.of, raw, args)
    return replace(made, test_dataset=test, further=further)


def causal_model(config: RunConfig, tokenizer: Any) -> Any:
    """The job's model, if it is one that can continue a text."""
    import transformers

    model = models.model(config, transformers.AutoModelForCausalLM, tokenizer)
    masked = any("ForMaskedLM" in name for name in model.config.architectures or ())
    if masked and not getattr(model.config, "is_decoder", False):
        raise ConfigurationError(
            "ModelUnsuitable",
            f"{config.model.uri} is an encoder: it sees the words it would have to predict. Choose a causal model.",
        )
    return model


def language_model(  # noqa: PLR0917 - What every task is made from, and its examples.
    config: RunConfig, plan: Plan, args: Any, model: Any, tokenizer: Any, train: Any, held_out: Any
) -> Prepared:
    """A causal language model that learns what the examples' labels say, their own tokens without labels."""
    if config.tokenizer.packing:
        packing.refuse_mixing(config, model)
        with at_once(args):
            train = packing.packed(train, models.longest(config, model, tokenizer))
    loss = CrossEntropy(shifted=True, smoothing=args.label_smoothing_factor)
    names = config.evaluation.metrics or ("perplexity",)
    return Prepared(
        model=model,
        processing_class=tokenizer,
        train_dataset=train,
        eval_dataset=held_out,
        collator=packing.Sequences(
            pad_token_id=tokenizer.pad_token_id, multiple_of=8 if args.fp16 or args.bf16 else None
        ),
        loss=loss,
        outputs=packing.apart if config.tokenizer.packing else plain,
        preprocess_logits_for_metrics=partial(words.rows, loss),
        compute_metrics=partial(words.measured, metrics.chosen(names, words.MEASURES, loss_only=plan.loss_only)),
        fingerprint=data.fingerprint([train] if held_out is None else [train, held_out]),
        shown=showing.continued,
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
        identity = {"tokenizer": vocabulary(self.tokenizer), "longest": self.longest, "column": self.column}
        encoded = data.tokenized(table, partial(self._encoded, split), identity, ("input_ids", "attention_mask"))
        if len(streams.head(encoded)) == 0:
            raise ConfigurationError(
                "EmptyDataset", f"No text of {split} has two tokens. Name the column of texts in dataset.columns.text."
            )
        return encoded

    def _encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        given = texts(batch[self.column], positions, self.column, split)
        cut = [self._ended(one)[: self.longest] for one in self.tokenizer(given)["input_ids"]]
        ids = [one for one in cut if len(one) > 1]  # A single token predicts nothing.
        return {"input_ids": ids, "attention_mask": [[1] * len(one) for one in ids]}

    def _ended(self, ids: list[int]) -> list[int]:
        end = self.tokenizer.eos_token_id
        return ids if end is None or ids[-1:] == [end] else [*ids, end]
