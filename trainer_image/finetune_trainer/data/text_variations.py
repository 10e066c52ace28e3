"""Texts varied by chance, in ways that leave alone what is learned of them; none needs a model or a list of words.

Words are what stands between spaces, and take those that follow them along; a text without any is one word, of which
only letters are ever changed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from finetune_trainer.data import Encode

SHARE = 0.1
"""The share of words that is changed, as is usual."""
CASES: tuple[Callable[[str], str], ...] = (str.lower, str.upper, str.capitalize)

WORD = re.compile(r"\S+\s*")

Words = list[str]


def deleted(words: Words, dice: np.random.Generator) -> Words:
    """The words without some of them, but never without all."""
    kept = [word for word, chance in zip(words, dice.random(len(words)), strict=True) if chance >= SHARE]
    return kept or words[:1]


def swapped(words: Words, dice: np.random.Generator) -> Words:
    """The words, some of which have changed places with their neighbors; the spaces stay where they are."""
    given = [word.rstrip() for word in words]
    spaces = [word[len(bare) :] for word, bare in zip(words, given, strict=True)]
    for _ in range(_some(words) if len(words) > 1 else 0):
        place = int(dice.integers(len(given) - 1))
        given[place], given[place + 1] = given[place + 1], given[place]
    return [word + space for word, space in zip(given, spaces, strict=True)]


def cropped(words: Words, dice: np.random.Generator) -> Words:
    """The words without a few that stand together."""
    count = _some(words) if len(words) > 1 else 0
    first = int(dice.integers(len(words) - count + 1))
    return [*words[:first], *words[first + count :]]


def in_other_case(words: Words, dice: np.random.Generator) -> Words:
    """The words, some of them in small letters, in capitals or with a capital."""
    chances, cases = dice.random(len(words)), dice.integers(len(CASES), size=len(words))
    told = zip(words, chances, cases, strict=True)
    return [CASES[case](word) if chance < SHARE else word for word, chance, case in told]


def mistyped(words: Words, dice: np.random.Generator) -> Words:
    """The words, in some of which two letters have changed places."""
    chances, places = dice.random(len(words)), dice.random(len(words))
    told = zip(words, chances, places, strict=True)
    return [
        _turned(word, int(place * (length - 1))) if chance < SHARE and length > 1 else word
        for word, chance, place in told
        for length in [len(word.rstrip())]
    ]


def _turned(word: str, place: int) -> str:
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _some(words: Words) -> int:
    return max(1, round(SHARE * len(words)))


VARIATIONS: Mapping[str, Callable[[Words, np.random.Generator], Words]] = MappingProxyType(
    {
        "word-deletion": deleted,
        "word-swap": swapped,
        "word-crop": cropped,
        "word-case": in_other_case,
        "letter-swap": mistyped,
    }
)
"""By the names of `dataset.augment`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """Makes an example of a row as it was written, with other texts in every epoch."""

    encode: Encode
    columns: tuple[str, ...]
    """The columns of texts."""
    names: tuple[str, ...]
    """The variations, in their order."""

    def __call__(self, row: dict[str, Any], dice: np.random.Generator) -> dict[str, Any]:
        """The example of the varied row."""
        varied = row | {name: self._text(str(row[name]), dice) for name in self.columns}
        made = self.encode({name: [value] for name, value in varied.items()}, [0])
        return {name: values[0] for name, values in made.items()}

    def _text(self, text: str, dice: np.random.Generator) -> str:
        words = WORD.findall(text)
        for name in self.names:
            words = VARIATIONS[name](words, dice)
        return "".join(words).rstrip()
