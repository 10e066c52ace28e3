"""What a table of predictions shows of a batch: what was read, what is right, what the model says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy.typing as npt
import torch
from torch.nn import functional

from finetune_trainer.distributed.sharing import is_in_parts
from finetune_trainer.loss import IGNORED

MOST_SCORES = 20
"""More classes than this have the score of the prediction alone."""

MOST_NEW = 64
"""Tokens that a language model goes on for."""

Part = tuple[tuple[str, ...], list[tuple[Any, ...]]]
Shown = Callable[[Any, dict[str, Any]], Part]
"""The columns, and the rows of a batch, from the Trainer and the batch where the model is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What an evaluation's rows say as answers, for metrics and matrices that know nothing of the task."""

    of: Callable[[Any], tuple[npt.NDArray[Any], npt.NDArray[Any]]]
    """The predictions and what is right, one for each example."""
    names: tuple[str, ...] = ()
    """The classes by number; none where an answer is not one of several."""


def batches(trainer: Any, examples: Any, most: int) -> Iterator[dict[str, Any]]:
    """The first examples in batches, whole on every rank."""
    size = trainer.args.per_device_eval_batch_size
    source = islice(iter(examples), most)
    while rows := list(islice(source, size)):
        yield trainer._prepare_inputs(trainer.data_collator(rows))  # noqa: SLF001 - Its way to the device.


def classes(trainer: Any, batch: dict[str, Any]) -> Part:
    """One of several classes, with its score and, where they are few, everyone's."""
    scores = torch.softmax(_logits(trainer, batch), dim=-1).cpu()
    names = _names(trainer.model)
    best = scores.argmax(-1).tolist()
    every = len(names) <= MOST_SCORES
    columns = (
        *_read_columns(batch),
        "label",
        "prediction",
        "score",
        *((f"score {one}" for one in names) if every else ()),
    )
    labels = batch["labels"].tolist()
    rows = [
        (*read, names[label], names[answer], _round(row[answer]), *((_round(one) for one in row) if every else ()))
        for read, label, answer, row in zip(_read(trainer, batch), labels, best, scores.tolist(), strict=True)
    ]
    return columns, rows


def choices(trainer: Any, batch: dict[str, Any]) -> Part:
    """One of a row's own answers; a label is the right one's number and how many there are."""
    logits = _logits(trainer, batch)
    rows = []
    for read, scores, (right, count) in zip(batch["input_ids"], logits, batch["labels"].tolist(), strict=True):
        given = [trainer.processing_class.decode(one, skip_special_tokens=True) for one in read[:count]]
        shares = torch.softmax(scores[:count], dim=-1).tolist()
        best = max(range(count), key=shares.__getitem__)
        rows.append((" | ".join(given), given[right], given[best], _round(shares[best])))
    return ("input", "label", "prediction", "score"), rows


def several(trainer: Any, batch: dict[str, Any]) -> Part:
    """Any number of classes, each with its score where they are few."""
    scores = torch.sigmoid(_logits(trainer, batch)).cpu().tolist()
    names = _names(trainer.model)
    every = len(names) <= MOST_SCORES
    columns = (*_read_columns(batch), "labels", "prediction", *((f"score {one}" for one in names) if every else ()))
    rows = [
        (
            *read,
            _chosen(names, label),
            _chosen(names, row),
            *((_round(one) for one in row) if every else ()),
        )
        for read, label, row in zip(_read(trainer, batch), batch["labels"].tolist(), scores, strict=True)
    ]
    return columns, rows


def values(trainer: Any, batch: dict[str, Any]) -> Part:
    """A number."""
    found = _logits(trainer, batch).reshape(-1).tolist()
    told = zip(_read(trainer, batch), batch["labels"].reshape(-1).tolist(), found, strict=True)
    return (*_read_columns(batch), "label", "prediction"), [(*read, right, answer) for read, right, answer in told]


def words(trainer: Any, batch: dict[str, Any]) -> Part:
    """The words that were taken out of a text, and those that the model puts there."""
    answers, labels, tokenizer = _logits(trainer, batch).argmax(-1), batch["labels"], trainer.processing_class
    rows = [
        (tokenizer.decode(ids[seen.bool()]), tokenizer.decode(right[asked]), tokenizer.decode(answer[asked]))
        for ids, seen, right, answer in zip(batch["input_ids"], batch["attention_mask"], labels, answers, strict=True)
        for asked in [right.ne(IGNORED)]
    ]
    return ("input", "label", "prediction"), rows


def tags(trainer: Any, batch: dict[str, Any]) -> Part:
    """The label of each word, by the piece that it is told at."""
    answers, names = _logits(trainer, batch).argmax(-1).tolist(), _names(trainer.model)
    told = zip(_read(trainer, batch), batch["labels"].tolist(), answers, strict=True)
    rows = [
        (
            *read,
            " ".join(names[one] for one in right if one != IGNORED),
            " ".join(names[one] for one, label in zip(answer, right, strict=True) if label != IGNORED),
        )
        for read, right, answer in told
    ]
    return (*_read_columns(batch), "labels", "prediction"), rows


def written(trainer: Any, batch: dict[str, Any]) -> Part:
    """What an encoder-decoder writes when it has read a text."""
    tokenizer, labels = trainer.processing_class, batch["labels"]
    texts = trainer.writing(trainer.model, batch, in_step=is_in_parts(trainer.model))
    right = labels.masked_fill(labels == IGNORED, tokenizer.pad_token_id)
    said = zip(
        _read(trainer, batch),
        tokenizer.batch_decode(right, skip_special_tokens=True),
        tokenizer.batch_decode(texts, skip_special_tokens=True),
        strict=True,
    )
    return (*_read_columns(batch), "label", "prediction"), [(*read, label, text) for read, label, text in said]


def continued(trainer: Any, batch: dict[str, Any]) -> Part:
    """How a language model goes on after the first half of a text."""
    told = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return _gone_on(trainer, [_halved(ids[seen.bool()]) for ids, seen in told])


def answered(trainer: Any, batch: dict[str, Any]) -> Part:
    """What a language model says where the last part of a text that is learned begins."""
    told = zip(batch["input_ids"], batch["attention_mask"].bool(), batch["labels"], strict=True)
    return _gone_on(trainer, [_asked(ids[seen], labels[seen]) for ids, seen, labels in told])


Begun = tuple[torch.Tensor, torch.Tensor]
"""The beginning of a text, and how it goes on."""


def _halved(text: torch.Tensor) -> Begun:
    place = max(1, len(text) // 2)
    return text[:place], text[place:]


def _asked(text: torch.Tensor, labels: torch.Tensor) -> Begun:
    learned = {place for place, label in enumerate(labels.tolist()) if label != IGNORED}
    end = first = max(learned)
    while first - 1 in learned:
        first -= 1
    return (text[:first], text[first : end + 1]) if first else _halved(text)


def _gone_on(trainer: Any, begun: list[Begun]) -> Part:
    """What the model says after each beginning, the likeliest word each time."""
    tokenizer = trainer.processing_class
    longest = max(len(before) for before, _ in begun)
    # The beginnings end where the model goes on, so what fills them stands on the left.
    made = trainer.model.generate(
        input_ids=torch.stack([_filled(before, longest, tokenizer.pad_token_id) for before, _ in begun]),
        attention_mask=torch.stack([_filled(torch.ones_like(before), longest, 0) for before, _ in begun]),
        max_new_tokens=min(MOST_NEW, _longest(trainer.model) - longest),
        do_sample=False,
        num_beams=1,
        use_cache=True,
        pad_token_id=tokenizer.pad_token_id,
        synced_gpus=is_in_parts(trainer.model),
    )
    rows = [
        tuple(tokenizer.decode(part, skip_special_tokens=True) for part in (before, after, new[longest:]))
        for (before, after), new in zip(begun, made, strict=True)
    ]
    return ("input", "label", "prediction"), rows


def _longest(model: Any) -> int:
    """How many tokens a model has places for; models without an end say nothing."""
    return int(getattr(model.config, "max_position_embeddings", None) or 1 << 20)


def _filled(values: torch.Tensor, length: int, filler: int) -> torch.Tensor:
    return functional.pad(values, (length - len(values), 0), value=filler)


def _logits(trainer: Any, batch: dict[str, Any]) -> torch.Tensor:
    outputs = trainer.task_outputs(trainer.model, {name: value for name, value in batch.items() if name != "labels"})
    logits: torch.Tensor = outputs["logits"]
    return logits.float()


def _names(model: Any) -> tuple[str, ...]:
    known = model.config.id2label
    return tuple(str(known[number]) for number in range(len(known)))


def _read_columns(batch: dict[str, Any]) -> tuple[str, ...]:
    return ("input",) if "input_ids" in batch else ()


def _read(trainer: Any, batch: dict[str, Any]) -> list[tuple[str, ...]]:
    """The text that was read, where it was one."""
    if "input_ids" not in batch:
        return [() for _ in batch["labels"]]
    return [(trainer.processing_class.decode(one, skip_special_tokens=True),) for one in batch["input_ids"]]


def _chosen(names: Sequence[str], scores: Sequence[float]) -> str:
    return ", ".join(name for name, score in zip(names, scores, strict=True) if score > 0.5)


def _round(score: float) -> float:
    return round(score, 6)
