"""Preference: of two answers to a prompt a model learns to prefer one, by direct preference optimization (DPO).

The trainer of TRL keeps its metrics between two logs in memory alone and averages unequal passes, so a restart and
accumulation would show; here are its loss (a test compares the two) and its reading of the data, in our Trainer. The
reference is the model as it was: with an adapter, the model without it; else a second copy that is not trained.
Neither draws anything nor is saved: an attempt that goes on begins from the same reference.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import Preference, RunConfig
from finetune_trainer.data import streams
from finetune_trainer.distributed import sharing
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED
from finetune_trainer.measuring import metrics
from finetune_trainer.measuring.showing import Part
from finetune_trainer.models import adapters
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples
from finetune_trainer.tasks.chats import Chats, Example, chats
from finetune_trainer.tasks.text_generation import causal_model
from finetune_trainer.tasks.texts import left_out, vocabulary

NUMBERS = ("input_ids", "attention_mask", "labels")
CHOSEN, REJECTED = 1, 2
"""What the attention mask of a row says of the tokens of its two answers."""


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A causal language model and pairs of answers."""
    wanted = config.preference or Preference()
    _refuse_smoothing(wanted, args)
    raw = examples.raw(config, args, cache)
    tokenizer = models.tokenizer(config)
    model = causal_model(config, tokenizer)
    longest = models.longest(config, model, tokenizer)
    encoding = _Encoding(config, chats(config, tokenizer), longest, _prompt_column(config, raw.train))
    loss = PairLoss(beta=wanted.beta, kind=wanted.loss, smoothing=float(args.label_smoothing_factor or 0.0))
    return Prepared(
        **examples.examples(encoding.of, raw, config, args).parts(),
        model=model,
        processing_class=tokenizer,
        collator=Pairs(pad_token_id=tokenizer.pad_token_id, multiple_of=examples.rounded_to(args)),
        loss=loss,
        outputs=partial(outputs, Reference(model, partial(causal_model, config, tokenizer))),
        preprocess_logits_for_metrics=partial(rows, loss),
        compute_metrics=partial(measured, examples.chosen(config, plan, KNOWN_METRICS)),
        shown=partial(shown, loss),
    )


def _refuse_smoothing(wanted: Preference, args: Any) -> None:
    if args.label_smoothing_factor and wanted.loss != "sigmoid":
        raise ConfigurationError(
            "TrainingArgumentsRefused",
            "training.label_smoothing_factor is for preference.loss: sigmoid alone. Remove it, or choose sigmoid.",
        )


# The data.


def _prompt_column(config: RunConfig, table: Any) -> str | None:
    """The column of prompts: what the job names, else `prompt`, if there is one."""
    if config.dataset.columns.prompt is not None:
        return data.column(table, config.dataset.columns.prompt, config.dataset)
    return "prompt" if "prompt" in table.column_names else None


@dataclass(frozen=True, slots=True)
class _Encoding:
    config: RunConfig
    chats: Chats
    longest: int
    prompt: str | None

    def of(self, table: Any, split: str) -> Any:
        """The tokenized pairs of a split, without those of which an answer is cut off whole."""
        named = self.config.dataset.columns
        columns = (named.chosen or "chosen", named.rejected or "rejected", *([self.prompt] if self.prompt else []))
        for name in columns:
            data.column(table, name, self.config.dataset)
        identity = {
            "tokenizer": vocabulary(self.chats.tokenizer),
            "longest": self.longest,
            "columns": columns,
            "template": self.chats.template,
        }
        encoded = data.tokenized(table, partial(self._encoded, split, columns), identity, NUMBERS)
        if len(streams.head(encoded)) == 0:
            raise ConfigurationError(
                "EmptyDataset",
                f"No pair of {split} has two answers within {self.longest} tokens. Raise tokenizer.maxLength.",
            )
        left_out(table, encoded, split, "an answer is cut off")
        return encoded

    def _encoded(
        self, split: str, columns: tuple[str, ...], batch: dict[str, list[Any]], positions: list[int]
    ) -> dict[str, list[Any]]:
        from trl.data_utils import maybe_extract_prompt

        found: dict[str, list[Any]] = {name: [] for name in NUMBERS}
        for row, values in zip(positions, zip(*(batch[name] for name in columns), strict=True), strict=True):
            where = f"Row {row + 1} of {split}"
            named = dict(zip(("chosen", "rejected", "prompt"), _present(values, where), strict=False))
            parts = maybe_extract_prompt(named)
            pair = [self._cut(self.chats.of(parts["prompt"], parts[name], where)) for name in ("chosen", "rejected")]
            if all(any(one != IGNORED for one in labels[1:]) for _, labels in pair):
                found["input_ids"].append([*pair[0][0], *pair[1][0]])
                found["labels"].append([*pair[0][1], *pair[1][1]])
                found["attention_mask"].append([CHOSEN] * len(pair[0][0]) + [REJECTED] * len(pair[1][0]))
        return found

    def _cut(self, example: Example) -> Example:
        return example[0][: self.longest], example[1][: self.longest]


def _present(values: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    """The values of a row, all texts or conversations; without what a table adds to turns that lack a field."""
    if not all(isinstance(value, str | list) and value for value in values):
        raise ConfigurationError(
            "ConversationUnsuitable",
            f"{where} has no text or conversation in one of its columns. Correct the row, or dataset.columns.",
        )
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Batches of two answers side by side, padded on the right to one length."""

    pad_token_id: int
    """What fills the ends of input_ids."""
    multiple_of: int | None = None
    """Rounds lengths up, for kernels that like it."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Tokens and mask as (row, answer, token); labels as (row, both answers' tokens)."""
        counts = [[row["attention_mask"].count(which) for which in (CHOSEN, REJECTED)] for row in rows]
        length = max(max(both) for both in counts)
        if self.multiple_of:
            length = -(-length // self.multiple_of) * self.multiple_of
        shape = (len(rows), 2, length)
        ids, labels = torch.full(shape, self.pad_token_id), torch.full(shape, IGNORED)
        mask = torch.zeros(shape, dtype=torch.long)
        for number, (row, (chosen, rejected)) in enumerate(zip(rows, counts, strict=True)):
            for answer, (start, count) in enumerate(((0, chosen), (chosen, rejected))):
                ids[number, answer, :count] = torch.tensor(row["input_ids"][start : start + count])
                labels[number, answer, :count] = torch.tensor(row["labels"][start : start + count])
                mask[number, answer, :count] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": labels.flatten(1)}


# The loss.


class Reference:
    """The model as it was before training."""

    def __init__(self, model: Any, again: Callable[[], Any]) -> None:
        """Keep a copy of the model, unless it has an adapter that can be switched off; `again` loads it once more."""
        self._copy = None
        if not hasattr(model, "peft_config"):
            copied = again() if sharing.is_in_parts(model) else copy.deepcopy(model)
            self._copy = copied.eval().requires_grad_(requires_grad=False)

    @contextmanager
    def of(self, model: Any) -> Iterator[Any]:
        """The reference of a model in training, while the block lasts."""
        if self._copy is not None:
            with sharing.beside(model, self._copy):
                yield self._copy
            return
        from accelerate.utils import extract_model_from_parallel

        inner = extract_model_from_parallel(model)
        was_training = inner.training
        inner.eval()
        with adapters.silenced(inner):
            yield inner
        inner.train(was_training)


def outputs(reference: Reference, model: Any, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The log-probabilities of the two answers of each row, of the model and of its reference, and their lengths."""
    rows, _, length = inputs["input_ids"].shape
    given = {name: inputs[name].reshape(2 * rows, length) for name in ("input_ids", "attention_mask")}
    labels = inputs["labels"].reshape(2 * rows, length)[:, 1:]
    with torch.no_grad(), reference.of(model) as before:
        known = _log_probabilities(before(**given, use_cache=False)["logits"], labels)
    # After the reference: switching an adapter off and on must not touch a graph that waits for its gradients.
    learned = _log_probabilities(model(**given, use_cache=False)["logits"], labels)
    lengths = labels.ne(IGNORED).sum(1)
    found = {"policy": learned, "reference": known, "lengths": lengths}
    return {name: value.reshape(rows, 2) for name, value in found.items()}


def _log_probabilities(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    scores = logits[:, :-1].float().transpose(1, 2)
    return -functional.cross_entropy(scores, labels, ignore_index=IGNORED, reduction="none").sum(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLoss:
    """What a pair costs, by how much more than its reference the model prefers the chosen answer."""

    beta: float
    kind: str
    smoothing: float = 0.0
    """The probability that a pair is the wrong way round, while training."""

    def items(self, labels: torch.Tensor) -> torch.Tensor:
        """How many pairs there are."""
        return labels.new_tensor(len(labels))

    def total(self, outputs: Mapping[str, Any], labels: torch.Tensor, *, training: bool) -> torch.Tensor:  # noqa: ARG002 - The protocol's signature.
        """The sum over all pairs."""
        gained = outputs["policy"] - outputs["reference"]
        return self.of_pairs(gained, outputs["lengths"], self.smoothing if training else 0.0).sum()

    def of_pairs(self, gained: torch.Tensor, lengths: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """The loss of each pair, from what both answers gained over the reference."""
        margin = gained[:, 0] - gained[:, 1]
        match self.kind:
            case "hinge":
                return torch.relu(1 - self.beta * margin)
            case "ipo":
                mean = gained / lengths.clamp(min=1)
                return (mean[:, 0] - mean[:, 1] - 1 / (2 * self.beta)) ** 2
            case _:
                right, wrong = functional.logsigmoid(self.beta * margin), functional.logsigmoid(-self.beta * margin)
                return -(1 - smoothing) * right - smoothing * wrong


# The evaluation.


def rows(loss: PairLoss, found: Any, labels: torch.Tensor) -> torch.Tensor:  # noqa: ARG001 - The Trainer's signature.
    """The loss of each pair, one, and the rewards of its answers."""
    policy, reference, lengths = found
    gained = policy - reference
    each = loss.of_pairs(gained, lengths)
    return torch.stack([each, torch.ones_like(each), *(loss.beta * gained).unbind(1)], dim=1).double()


KNOWN_METRICS: Mapping[str, Any] = {
    "accuracy": lambda numbers: float((numbers[:, 2] > numbers[:, 3]).mean()),
    "margin": lambda numbers: float((numbers[:, 2] - numbers[:, 3]).mean()),
    "chosen_reward": lambda numbers: float(numbers[:, 2].mean()),
    "rejected_reward": lambda numbers: float(numbers[:, 3].mean()),
}
"""The share of pairs in which the chosen answer gained more, by how much, and what each gained, in units of 1/beta."""


def measured(wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    numbers = metrics.rows_of(evaluated)
    return {"loss": metrics.mean_loss(numbers), **{name: measure(numbers) for name, measure in wanted.items()}}


def shown(loss: PairLoss, trainer: Any, batch: dict[str, Any]) -> Part:
    """The prompt, both answers, which of them gained more, and what each gained."""
    found = trainer.task_outputs(trainer.model, batch)
    rewards = (loss.beta * (found["policy"] - found["reference"])).tolist()
    shape = batch["input_ids"].shape
    learned = batch["labels"].reshape(shape).ne(IGNORED)
    asked = batch["attention_mask"].bool() & ~learned
    decode = partial(trainer.processing_class.decode, skip_special_tokens=True)
    rows = [
        (
            decode(ids[0][prompt[0]]),
            *(decode(answer[place]) for answer, place in zip(ids, answers, strict=True)),
            "chosen" if one[0] > one[1] else "rejected",
            *(round(reward, 6) for reward in one),
        )
        for ids, prompt, answers, one in zip(batch["input_ids"], asked, learned, rewards, strict=True)
    ]
    return ("input", "chosen", "rejected", "prediction", "chosen reward", "rejected reward"), rows
