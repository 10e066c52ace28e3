"""Question answering: the span of a text that answers a question; long texts are read in overlapping pieces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune_trainer import data, models
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import streams
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.measuring import metrics, spans
from finetune_trainer.measuring.showing import Answers, Part
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import examples
from finetune_trainer.tasks.texts import fast, padding, texts, vocabulary

MOST_OVERLAP = 128
METRICS = {"exact_match": spans.exact_match, "f1": spans.f1}


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """A model that points at the answer's first and last token."""
    import transformers

    if args.label_smoothing_factor:
        raise ConfigurationError(
            "Unsupported", "training.label_smoothing_factor means nothing for spans. Remove it from the job."
        )
    raw = examples.raw(config, args, cache)
    tokenizer = fast(config, models.tokenizer(config))
    model = models.model(config, transformers.AutoModelForQuestionAnswering, tokenizer)
    encoding = _Encoding(config, tokenizer, models.longest(config, model, tokenizer), _columns(config))
    loss = spans.SpanLoss()
    return Prepared(
        **examples.examples(encoding.of, raw, config, args).parts(),
        model=model,
        processing_class=tokenizer,
        collator=padding(tokenizer, args, labels_rows=True),
        loss=loss,
        preprocess_logits_for_metrics=partial(spans.rows, loss),
        compute_metrics=partial(measured, encoding, examples.chosen(config, plan, METRICS)),
        answers=Answers(of=encoding.told),
        shown=shown,
    )


def _columns(config: RunConfig) -> tuple[str, str, str]:
    given = config.dataset.columns
    return given.question or "question", given.context or "context", given.answers or "answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What turns the spans of a split into texts."""

    table: Any
    """The rows as they were written."""
    pieces: Any
    """Where each token of a piece begins and ends in the context."""
    first: int
    """The number of the first example."""


@dataclass(frozen=True, slots=True)
class _Encoding:
    config: RunConfig
    tokenizer: Any
    longest: int
    columns: tuple[str, str, str]
    kept: list[_Kept] = field(default_factory=list)

    def of(self, table: Any, split: str) -> Any:
        """The pieces of a split's texts; remembered, so that spans can be read as texts."""
        for name in self.columns:
            data.column(table, name, self.config.dataset)
        first = self.kept[-1].first + len(self.kept[-1].table) if self.kept else 0
        identity = {
            "tokenizer": vocabulary(self.tokenizer),
            "longest": self.longest,
            "overlap": self.overlap,
            "columns": self.columns,
            "first": first,
        }
        numbers = ("labels", "begins", "ends", *self.tokenizer.model_input_names)
        pieces = data.tokenized(table, partial(self._encoded, split, first), identity, numbers)
        if not streams.is_stream(table):
            self.kept.append(
                _Kept(table=table, pieces=pieces.select_columns(["labels", "begins", "ends"]), first=first)
            )
        return pieces.remove_columns(["begins", "ends"])

    @property
    def overlap(self) -> int:
        """The tokens that two pieces of a text share."""
        given = self.config.tokenizer.stride
        return min(MOST_OVERLAP, self.longest // 4) if given is None else given

    def _encoded(
        self, split: str, first: int, batch: dict[str, list[Any]], positions: list[int]
    ) -> dict[str, list[Any]]:
        question, context, answers = self.columns
        asked = [one.strip() for one in texts(batch[question], positions, question, split)]
        read = texts(batch[context], positions, context, split)
        told = zip(batch[answers], read, positions, strict=True)
        right = [_first_answer(value, text, row, answers, split) for value, text, row in told]
        self._refuse_long(asked, positions, split)
        pieces = self.tokenizer(
            asked,
            read,
            truncation="only_second",
            max_length=self.longest,
            stride=self.overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        of, offsets = pieces["overflow_to_sample_mapping"], pieces["offset_mapping"]
        labels = [
            [*_place(right[one], pieces.sequence_ids(number), offsets[number]), first + positions[one], nth]
            for number, (one, nth) in enumerate(zip(of, _counted(of), strict=True))
        ]
        begins, ends = ([[pair[side] for pair in piece] for piece in offsets] for side in (0, 1))
        inputs = {name: pieces[name] for name in self.tokenizer.model_input_names}
        return {**inputs, "labels": labels, "begins": begins, "ends": ends}

    def _refuse_long(self, asked: list[str], positions: list[int], split: str) -> None:
        special = self.tokenizer.num_special_tokens_to_add(pair=True)
        lengths = map(len, self.tokenizer(asked, add_special_tokens=False)["input_ids"])
        for length, row in zip(lengths, positions, strict=True):
            room = self.longest - special - length
            if not length:
                raise ConfigurationError("TextMissing", f"Row {row + 1} of {split} has an empty question. Correct it.")
            if room <= self.overlap:
                raise ConfigurationError(
                    "QuestionTooLong",
                    f"The question in row {row + 1} of {split} has {length} tokens and leaves {max(room, 0)} of "
                    f"{self.longest} for the text, of which {self.overlap} overlap. Raise tokenizer.maxLength, lower "
                    "tokenizer.stride, or shorten the question.",
                )

    def told(self, evaluated: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The answer of every example, and the right ones."""
        given, right = self.texts(metrics.rows_of(evaluated)[:, 2:], np.asarray(evaluated.label_ids))
        golds = np.empty(len(right), dtype=object)
        golds[:] = [tuple(one) for one in right]
        return np.array(given, dtype=object), golds

    def texts(self, numbers: Any, labels: Any) -> tuple[list[str], list[spans.Golds]]:
        """The best answer of every example over all its pieces, and the right ones."""
        found: dict[int, tuple[float, float, int, int, int]] = {}
        for (nothing, first, last, score), label in zip(numbers.tolist(), labels.tolist(), strict=True):
            example, piece = label[spans.EXAMPLE], label[spans.PIECE]
            seen = found.get(example)
            none = min(nothing, seen[0]) if seen else nothing
            this = (score, int(first), int(last), piece)
            found[example] = (none, *(seen[1:] if seen and seen[1] >= score else this))
        given, right = [], []
        for kept in self.kept:
            mine = {one - kept.first: best for one, best in found.items() if 0 <= one - kept.first < len(kept.table)}
            for text, golds in self._read(kept, mine):
                given.append(text)
                right.append(golds)
        return given, right

    def _read(self, kept: _Kept, found: Mapping[int, Any]) -> Sequence[tuple[str, spans.Golds]]:
        if not found:
            return []
        _, context, answers = self.columns
        rows = sorted(found)
        of = np.asarray([label[spans.EXAMPLE] for label in kept.pieces["labels"]]) - kept.first
        table = kept.table.select(rows)
        golds = [[text for text, _ in _answers(value) or ()] for value in table[answers]]
        may_be_none = any(not one for one in golds)
        pieces = kept.pieces.select([int(np.searchsorted(of, row)) + found[row][4] for row in rows])
        told = zip(table[context], golds, pieces, (found[row] for row in rows), strict=True)
        return [(_text(read, piece, best, may_be_none=may_be_none), gold) for read, gold, piece, best in told]


def _text(context: str, piece: Mapping[str, Any], found: Any, *, may_be_none: bool) -> str:
    """The words of the best span; nothing where no answer is likelier and may be given."""
    nothing, score, first, last, _ = found
    if score == -np.inf or (may_be_none and nothing > score):
        return ""
    return context[piece["begins"][first] : piece["ends"][last]]


def _counted(of: Sequence[int]) -> list[int]:
    """The number of each piece among those of its example, which stand together."""
    return [nth for _, together in groupby(of) for nth, _ in enumerate(together)]


def _answers(value: Any) -> list[tuple[Any, Any]] | None:
    """The answers of a row with where they begin, from {text: [..], answer_start: [..]} or a list of such pairs."""
    match value:
        case {"text": list() as said, "answer_start": list() as begins} if len(said) == len(begins):
            return [*zip(said, begins, strict=True)]
        case list() if all(isinstance(one, dict) and {"text", "answer_start"} <= one.keys() for one in value):
            return [(one["text"], one["answer_start"]) for one in value]
        case _:
            return None


def _first_answer(value: Any, context: str, row: int, column: str, split: str) -> tuple[int, int] | None:
    """Where the first answer of a row begins and ends in its context."""
    told = _answers(value)
    if told is None:
        raise ConfigurationError(
            "TextMissing",
            f"Row {row + 1} of {split} has no answers in column {column}. Write them as SQuAD does: text and "
            "answer_start, two lists of the same length, empty where the text has no answer.",
        )
    for said, begin in told:
        fits = isinstance(said, str) and isinstance(begin, int) and begin >= 0 and said.strip()
        if not fits or context[begin : begin + len(said)] != said:
            raise ConfigurationError(
                "AnswerOutsideContext",
                f"Row {row + 1} of {split}: the answer {said!r} does not stand at character {begin} of its context. "
                f"Correct answer_start in column {column}; characters are counted from 0.",
            )
    if not told:
        return None
    said, begin = told[0]
    return begin + len(said) - len(said.lstrip()), begin + len(said.rstrip())


def _place(right: tuple[int, int] | None, of: Sequence[int | None], offsets: Any) -> tuple[int, int, int, int, int]:
    """The labels of a piece but for its numbers: where the answer is, the length, where the context is."""
    context = [place for place, part in enumerate(of) if part == 1]
    first, last = (context[0], context[-1]) if context else (1, 0)
    start, end = _tokens(right, context, offsets)
    return start, end, len(of), first, last


def _tokens(right: tuple[int, int] | None, context: Sequence[int], offsets: Any) -> tuple[int, int]:
    """The first and the last token of the answer; 0 and 0 where the piece does not hold all of it."""
    if right is None or not context:
        return 0, 0
    begin, end = right
    if offsets[context[0]][0] > begin or offsets[context[-1]][1] < end:
        return 0, 0
    start = max(place for place in context if offsets[place][0] <= begin)
    return start, min(place for place in context if offsets[place][1] >= end and place >= start)


def measured(encoding: _Encoding, wanted: Mapping[str, Any], evaluated: Any) -> dict[str, float]:
    """The metrics of an evaluation."""
    numbers = metrics.rows_of(evaluated)
    given, right = encoding.texts(numbers[:, 2:], np.asarray(evaluated.label_ids)) if wanted else ([], [])
    return {"loss": metrics.mean_loss(numbers), **{name: measure(given, right) for name, measure in wanted.items()}}


def shown(trainer: Any, batch: dict[str, Any]) -> Part:
    """What was read of a text, the answer in it and the model's."""
    inputs, labels = ({name: value for name, value in batch.items() if name != "labels"}, batch["labels"])
    outputs = trainer.task_outputs(trainer.model, inputs)
    found = spans.best(outputs["start_logits"].float(), outputs["end_logits"].float(), labels)
    decode = trainer.processing_class.decode
    rows = [
        (
            decode(ids, skip_special_tokens=True),
            decode(ids[label[spans.START] : label[spans.END] + 1]) if label[spans.END] else "",
            decode(ids[int(first) : int(last) + 1]),
        )
        for ids, label, (_, first, last, _) in zip(batch["input_ids"], labels.tolist(), found.tolist(), strict=True)
    ]
    return ("input", "label", "prediction"), rows
