"""How close written texts come to those that were wanted: ROUGE, BLEU and chrF, each from 0 to 100."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

Texts = Sequence[str]
WORD = re.compile(r"[^\W_]+")


class _Words:
    """ROUGE's words: English ones by their stem, as published figures have them, and those of other scripts too."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self._stem = PorterStemmer().stem

    def tokenize(self, text: str) -> list[str]:
        """The words of a text; the name that rouge_score calls."""
        words: list[str] = WORD.findall(text.lower())
        return [self._stem(word) if len(word) > 3 and word.isascii() else word for word in words]


def rouge(kind: str, written: Texts, wanted: Texts) -> float:
    """The mean F-measure of one kind of ROUGE, such as rougeL."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind], tokenizer=_Words())
    scores: list[float] = [
        scorer.score(right, text)[kind].fmeasure for text, right in zip(written, wanted, strict=True)
    ]
    return 100.0 * sum(scores) / max(len(scores), 1)


def bleu(written: Texts, wanted: Texts) -> float:
    """The corpus BLEU of sacrebleu, with its own tokenization."""
    import sacrebleu

    return float(sacrebleu.corpus_bleu(list(written), [list(wanted)]).score)


def chrf(written: Texts, wanted: Texts) -> float:
    """The corpus chrF of sacrebleu: n-grams of letters, for languages in which words change their ends."""
    import sacrebleu

    return float(sacrebleu.corpus_chrf(list(written), [list(wanted)]).score)


KNOWN: dict[str, Callable[..., Any]] = {
    "rouge1": partial(rouge, "rouge1"),
    "rouge2": partial(rouge, "rouge2"),
    "rougeL": partial(rouge, "rougeL"),
    "bleu": bleu,
    "chrf": chrf,
}
"""By the names of `evaluation.metrics`."""
