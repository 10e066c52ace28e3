"""What summarization and translation share: an encoder-decoder learns to write one text when it has read another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.evaluation import Generation
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import streams
from finetune_trainer.data.collating import Padding
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED, CrossEntropy
from finetune_trainer.measuring import metrics, showing, text_metrics
from finetune_trainer.measuring.generating import Writing
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples
from finetune_trainer.tasks.texts import padding, texts, vocabulary


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path, *, usual: tuple[str, ...]) -> Prepared:
    """An encoder-decoder and pairs of texts; `usual` are the metrics where the job names none."""
    import transformers

    raw = examples.raw(config, args, cache)
    tokenizer = models.tokenizer(config)
    first = languages(config, tokenizer)
    model = models.model(config, transformers.AutoModelForSeq2SeqLM, tokenizer)
    _refuse_without_start(config, model)
    encoding = _Encoding(config, tokenizer, models.longest(config, model, tokenizer))
    loss = CrossEntropy(shifted=False, smoothing=args.label_smoothing_factor)
    wanted = examples.chosen(config, plan, text_metrics.KNOWN, usual)
    found = examples.examples(encoding.of, raw, config, args)
    varied = examples.varied(config, partial(encoding.encoded, config.dataset.splits.train), encoding.columns[:1])
    return Prepared(
        **found.parts(drawn=varied, rows=encoding.flat(raw.train).select_columns([*encoding.columns])),
        model=model,
        processing_class=tokenizer,
        collator=Pairs(source=padding(tokenizer, args), decoder_inputs=_decoder_inputs(model)),
        loss=loss,
        preprocess_logits_for_metrics=partial(rows, loss),
        compute_metrics=partial(measured, wanted, tokenizer),
        writing=_writing(config.evaluation.generation or Generation(), tokenizer, first),
        shown=showing.written,
    )


def _writing(wanted: Generation, tokenizer: Any, first: int | None) -> Writing:
    return Writing(
        max_new_tokens=wanted.max_new_tokens,
        num_beams=wanted.num_beams,
        pad_token_id=tokenizer.pad_token_id,
        first=first,
    )


def languages(config: RunConfig, tokenizer: Any) -> int | None:
    """Tell a tokenizer of many languages which two it has to do with; the token that the target begins with, if any."""
    source, target = config.tokenizer.source_language, config.tokenizer.target_language
    if not hasattr(tokenizer, "src_lang"):
        if source is not None or target is not None:
            raise ConfigurationError(
                "LanguageUnknown",
                "The tokenizer knows no languages. Leave out tokenizer.sourceLanguage and tokenizer.targetLanguage.",
            )
        return None
    if source is None or target is None:
        raise ConfigurationError(
            "LanguageUnknown",
            "The tokenizer is one of many languages. Name the two in tokenizer.sourceLanguage and "
            "tokenizer.targetLanguage, by its own codes.",
        )
    number = {code: _language(tokenizer, code) for code in (source, target)}
    tokenizer.src_lang, tokenizer.tgt_lang = source, target
    return number[target]


def _language(tokenizer: Any, code: str) -> int:
    codes = getattr(tokenizer, "lang_code_to_token", {})
    number: int | None = tokenizer.convert_tokens_to_ids(codes.get(code, code))
    if number is None or number == tokenizer.unk_token_id:
        raise ConfigurationError(
            "LanguageUnknown",
            f"The tokenizer knows no language {code}. Write tokenizer.sourceLanguage and tokenizer.targetLanguage by "
            "its own codes.",
        )
    return number


def _refuse_without_start(config: RunConfig, model: Any) -> None:
    if getattr(model.config, "decoder_start_token_id", None) is None:
        raise ConfigurationError(
            "ModelUnsuitable",
            f"{config.model.uri} does not say which token a text begins with. Set decoder_start_token_id in "
            "model.config.",
        )


def _decoder_inputs(model: Any) -> Callable[..., torch.Tensor]:
    """The model's own way from labels to what the decoder sees, or the usual one."""
    usual = partial(shifted, start=model.config.decoder_start_token_id, pad=model.config.pad_token_id)
    own: Callable[..., torch.Tensor] = getattr(model, "prepare_decoder_input_ids_from_labels", usual)
    return own


def shifted(labels: torch.Tensor, *, start: int, pad: int) -> torch.Tensor:
    """The labels one place later, behind the token that every text begins with."""
    later = torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)
    return later.masked_fill(later == IGNORED, pad)


@dataclass(frozen=True, slots=True)
class _Encoding:
    config: RunConfig
    tokenizer: Any
    longest: int

    def of(self, table: Any, split: str) -> Any:
        """The tokenized pairs of a split."""
        table = self.flat(table)
        source, target = (data.column(table, name, self.config.dataset) for name in self.columns)
        wanted = self.config.tokenizer
        identity = {
            "pairs": vocabulary(self.tokenizer),
            "longest": (self.longest, wanted.max_target_length),
            "columns": (source, target),
            "said": (wanted.prefix, wanted.source_language, wanted.target_language),
        }
        numbers = ("input_ids", "attention_mask", "labels")
        return data.tokenized(table, partial(self.encoded, split), identity, numbers)

    def flat(self, table: Any) -> Any:
        """The table, in which translations may lie in one column: translation.en is a part of it."""
        return table if set(self.columns) <= set(table.column_names) else streams.flat(table)

    @property
    def columns(self) -> tuple[str, str]:
        """The columns of what is read and of what is written."""
        columns = self.config.dataset.columns
        return columns.source or "source", columns.target or "target"

    def encoded(self, split: str, batch: dict[str, list[Any]], positions: list[int]) -> dict[str, list[Any]]:
        """The examples of some rows."""
        source, target = self.columns
        prefix, longest = self.config.tokenizer.prefix or "", self.config.tokenizer.max_target_length or self.longest
        read = [prefix + text for text in texts(batch[source], positions, source, split)]
        written = texts(batch[target], positions, target, split)
        encoded = self.tokenizer(read, truncation=True, max_length=self.longest)
        labels = self.tokenizer(text_target=written, truncation=True, max_length=longest)["input_ids"]
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "labels": labels}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Batches in which each side is as long as its own longest text."""

    source: Padding
    """For what is read."""
    decoder_inputs: Callable[..., torch.Tensor]
    """From labels to what the decoder sees; the labels themselves do not reach the model."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of some rows."""
        read = [{name: value for name, value in row.items() if name != "labels"} for row in rows]
        length = max(len(row["labels"]) for row in rows)
        labels = torch.tensor([[*row["labels"], *[IGNORED] * (length - len(row["labels"]))] for row in rows])
        return {**self.source(read), "labels": labels, "decoder_input_ids": self.decoder_inputs(labels=labels)}


def rows(loss: CrossEntropy, logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The loss and the count of each row, then the tokens that the model wrote."""
    scores, written = logits
    return torch.cat([loss.of_rows(scores, labels), written.double()], dim=1)


def measured(wanted: Mapping[str, Any], tokenizer: Any, evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    numbers = metrics.rows_of(evaluated)
    labels = np.asarray(evaluated.label_ids)
    written = _texts(tokenizer, numbers[:, 2:].astype(np.int64))
    right = _texts(tokenizer, np.where(labels == IGNORED, tokenizer.pad_token_id, labels))
    return {"loss": metrics.mean_loss(numbers), **{name: measure(written, right) for name, measure in wanted.items()}}


def _texts(tokenizer: Any, ids: Any) -> list[str]:
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
