"""Invented texts that answer one another: stories with their summary, with their translation, with their ending."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from finetune_sandbox.hub.rows import BAD, GOOD, NOUNS, PLAIN, SIZES, VERBS, Row, Schema

XSUM = Schema(columns=("document", "summary", "id"))
ENDINGS = 4
SWAG = Schema(
    columns=("video-id", "startphrase", "sent1", "sent2", *(f"ending{number}" for number in range(ENDINGS)), "label"),
    labels=tuple(str(number) for number in range(ENDINGS)),
)
LANGUAGES = ("en", "fr")
TONGUE = dict(zip((*NOUNS, *VERBS), (*NOUNS[1:], NOUNS[0], *VERBS[1:], VERBS[0]), strict=True))
"""The other language says one word for another, and puts the adjective behind the noun."""


def xsum(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Stories of some sentences; the summary is who did what in the first."""
    chance = random.Random(f"xsum/{split}/{seed}")
    return tuple(_story(chance, position) for position in range(size))


def books(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Sentences in two languages."""
    chance = random.Random(f"books/{split}/{seed}")
    return tuple({"id": str(position), "translation": _said_twice(chance)} for position in range(size))


def swag(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Beginnings and four endings; the right one is about the one whom the story is about."""
    chance = random.Random(f"swag/{split}/{seed}")
    return tuple(_begun(chance, position) for position in range(size))


def _sentence(chance: random.Random, subject: str, verb: str) -> str:
    other = chance.choice([noun for noun in NOUNS if noun != subject])
    return f"the {chance.choice(PLAIN)} {subject} {verb} a {chance.choice(GOOD)} {other} ."


def _story(chance: random.Random, position: int) -> Row:
    subject, verb = chance.choice(NOUNS), chance.choice(VERBS)
    rest = (_sentence(chance, chance.choice(NOUNS), chance.choice(VERBS)) for _ in range(chance.randint(1, 3)))
    document = " ".join((_sentence(chance, subject, verb), *rest))
    return {"document": document, "summary": f"the {subject} {verb} .", "id": str(position)}


def _said_twice(chance: random.Random) -> Row:
    subject, verb, manner = chance.choice(NOUNS), chance.choice(VERBS), chance.choice(PLAIN)
    here = f"the {manner} {subject} {verb} ."
    return dict(zip(LANGUAGES, (here, f"the {TONGUE[subject]} {manner} {TONGUE[verb]} ."), strict=True))


def _begun(chance: random.Random, position: int) -> Row:
    subject, *others = chance.sample(NOUNS, ENDINGS)
    right = chance.randrange(ENDINGS)
    told = [f"{noun} is {chance.choice(BAD)} ." for noun in others]
    told.insert(right, f"{subject} is {chance.choice(BAD)} .")
    beginning = _sentence(chance, subject, chance.choice(VERBS))
    ends = {f"ending{number}": text for number, text in enumerate(told)}
    first = {"video-id": str(position), "startphrase": f"{beginning} the", "sent1": beginning, "sent2": "the"}
    return {**first, **ends, "label": right}


def opus(folder: Path, seed: int = 0) -> None:
    """A data set repository of translations, whose columns lie in one of two fields."""
    nested(folder, "en-fr", books, seed)


def nested(
    folder: Path, config: str, maker: Callable[[str, int, int], tuple[Row, ...]], seed: int, card: str = ""
) -> None:
    """Write a data set repository whose Parquet files say what their columns are, but for what a card adds."""
    (folder / config).mkdir(parents=True, exist_ok=True)
    for split, size in SIZES.items():
        table = pa.Table.from_pylist([dict(row) for row in maker(split, size, seed)])
        pq.write_table(table, folder / config / f"{split}-00000-of-00001.parquet")
    parts = "".join(f"  - split: {split}\n    path: {config}/{split}-*\n" for split in SIZES)
    head = (
        f"---\n{card}configs:\n- config_name: {config}\n  data_files:\n{parts}---\nInvented rows in the schema of it.\n"
    )
    (folder / "README.md").write_text(head, encoding="utf-8")
