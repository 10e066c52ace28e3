"""Answers that are spans of a text: the loss of where they begin and end, the best span of a piece, the metrics.

A text longer than the model is cut into overlapping pieces. The labels of a piece are seven numbers, named below.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

START, END, LENGTH, FIRST, LAST, EXAMPLE, PIECE = range(7)
"""The answer's first and last token, 0 and 0 for none in this piece; the piece's tokens without padding; the context's
first and last token; the number of the example, and of the piece in it."""
LONGEST_ANSWER = 30
"""Tokens of the longest answer that is given, as is usual for SQuAD."""

Golds = Sequence[str]
"""The right answers of an example; none where the text has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLoss:
    """Cross entropy of the answer's first and of its last token; padding is no choice, however long a batch is."""

    def items(self, labels: torch.Tensor) -> torch.Tensor:
        """Two for each piece."""
        return torch.tensor(2 * len(labels), device=labels.device)

    def total(self, outputs: Mapping[str, Any], labels: torch.Tensor, *, training: bool) -> torch.Tensor:  # noqa: ARG002 - The protocol's.
        """The sum over all pieces."""
        return self._each(outputs["start_logits"], outputs["end_logits"], labels).sum()

    def of_rows(self, starts: torch.Tensor, ends: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The sum of each piece, and 2: two columns."""
        each = self._each(starts, ends, labels).double()
        return torch.stack([each, torch.full_like(each, 2)], dim=1)

    def _each(self, starts: torch.Tensor, ends: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        padding = _places(starts) >= labels[:, LENGTH, None]
        begin, end = (scores.float().masked_fill(padding, -torch.inf) for scores in (starts, ends))
        first = functional.cross_entropy(begin, labels[:, START], reduction="none")
        return first + functional.cross_entropy(end, labels[:, END], reduction="none")


def rows(loss: SpanLoss, logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The loss and the count of each piece, the score of no answer, then its best span and that span's score."""
    starts, ends = logits[0], logits[1]
    return torch.cat([loss.of_rows(starts, ends, labels), best(starts.float(), ends.float(), labels)], dim=1)


def best(starts: torch.Tensor, ends: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The score of no answer, the first and the last token of the best span in the context, and its score."""
    places = _places(starts)
    outside = (places < labels[:, FIRST, None]) | (places > labels[:, LAST, None])
    begin, end = starts.masked_fill(outside, -torch.inf), ends.masked_fill(outside, -torch.inf)
    within_reach = functional.pad(end, (0, LONGEST_ANSWER - 1), value=-torch.inf).unfold(1, LONGEST_ANSWER, 1)
    reached, further = within_reach.max(-1)
    score, first = (begin + reached).max(-1)
    last = first + further.gather(1, first[:, None])[:, 0]
    return torch.stack([(starts[:, 0] + ends[:, 0]).double(), first.double(), last.double(), score.double()], dim=1)


def _places(scores: torch.Tensor) -> torch.Tensor:
    return torch.arange(scores.shape[1], device=scores.device)[None]


def exact_match(given: Sequence[str], right: Sequence[Golds]) -> float:
    """The share of answers that are one of the right ones, but for case, punctuation and articles."""
    each = [max(_bare(one) == _bare(gold) for gold in golds or ("",)) for one, golds in zip(given, right, strict=True)]
    return sum(each) / max(len(each), 1)


def f1(given: Sequence[str], right: Sequence[Golds]) -> float:
    """The mean F1 of an answer's words against those of the right answer that is nearest."""
    each = [max(_overlap(one, gold) for gold in golds or ("",)) for one, golds in zip(given, right, strict=True)]
    return sum(each) / max(len(each), 1)


def _overlap(one: str, gold: str) -> float:
    said, true = _bare(one), _bare(gold)
    if not said or not true:
        return float(said == true)
    return 2 * (Counter(said) & Counter(true)).total() / (len(said) + len(true))


def _bare(text: str) -> list[str]:
    """The words that count."""
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()
