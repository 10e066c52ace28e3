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
from finetune_trainer.measuring import showing
from finetune_trainer.models import adapters
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples, words
from finetune_trainer.tasks.examples import Examples, at_once, rounded_to
from finetune_trainer.tasks.texts import text_columns, texts, vocabulary


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A causal language model and texts that end with the end token."""
    raw = examples.raw(config, args, cache)
    (name,) = text_columns(raw.train, config, most=1)
    tokenizer = models.tokenizer(config)
    model = causal_model(config, tokenizer)
    encoding = _Encoding(config, tokenizer, models.longest(config, model, tokenizer), name)
    found = examples.examples(encoding.of, raw, config, args)
    return language_model(config, plan, args, model, tokenizer, found)


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
    config: RunConfig, plan: Plan, args: Any, model: Any, tokenizer: Any, found: Examples
) -> Prepared:
    """A causal language model that learns what the examples' labels say, their own tokens without labels."""
    if config.tokenizer.packing:
        with adapters.silenced(model):
            packing.refuse_mixing(config, model)
        with at_once(args):
            found = replace(found, train=packing.packed(found.train, models.longest(config, model, tokenizer)))
    loss = CrossEntropy(shifted=True, smoothing=args.label_smoothing_factor)
    return Prepared(
        **found.parts(),
        model=model,
        processing_class=tokenizer,
        collator=packing.Sequences(pad_token_id=tokenizer.pad_token_id, multiple_of=rounded_to(args)),
        loss=loss,
        outputs=packing.apart if config.tokenizer.packing else plain,
        preprocess_logits_for_metrics=partial(words.rows, loss),
        compute_metrics=partial(words.measured, examples.chosen(config, plan, words.MEASURES, ("perplexity",))),
        shown=showing.continued,
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
