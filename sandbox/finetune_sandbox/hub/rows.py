"""Invented data sets with the schemas of real ones, and a pattern that a tiny model can learn in minutes.

The same seed gives the same rows everywhere.
"""

import csv
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = Mapping[str, Any]

NOUNS = (
    "river",
    "garden",
    "engine",
    "teacher",
    "market",
    "island",
    "letter",
    "window",
    "painter",
    "harbor",
    "valley",
    "clock",
)
VERBS = ("finds", "crosses", "follows", "repairs", "remembers", "watches", "leaves", "carries", "opens", "measures")
GOOD = ("bright", "gentle", "lovely", "clever", "splendid", "warm", "graceful", "honest")
BAD = ("dull", "bitter", "broken", "clumsy", "dreary", "cold", "hollow", "tedious")
PLAIN = ("old", "small", "northern", "quiet", "distant", "wooden", "early", "second")
LINKS = ("the", "a", "and", "near", "with", "before", "under", "is", "one", "film", "story", "very", "not", ".")
LEXICON = tuple(sorted({*NOUNS, *VERBS, *GOOD, *BAD, *PLAIN, *LINKS}))
"""Every word that occurs: the tokenizers know them all."""

SIZES = {"train": 1024, "validation": 64, "test": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One configuration of a data set: its columns, and the names of its labels if it has any."""

    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()


MRPC = Schema(columns=("sentence1", "sentence2", "label", "idx"), labels=("not_equivalent", "equivalent"))
SST2 = Schema(columns=("sentence", "label", "idx"), labels=("negative", "positive"))
TEXT = Schema(columns=("text",))


def mrpc(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Pairs of sentences: the second says the same in another order or something else; its first word tells."""
    chance = random.Random(f"mrpc/{split}/{seed}")
    return tuple(_pair(chance, position) for position in range(size))


def sst2(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Sentences of praise and of blame."""
    chance = random.Random(f"sst2/{split}/{seed}")
    return tuple(_opinion(chance, position) for position in range(size))


def text(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Lines of prose from a small grammar."""
    chance = random.Random(f"text/{split}/{seed}")
    return tuple({"text": " ".join(_sentence(chance) for _ in range(chance.randint(1, 4)))} for _ in range(size))


def _pair(chance: random.Random, position: int) -> Row:
    first, second = chance.sample(NOUNS, 2)
    verb, manner = chance.choice(VERBS), chance.choice(PLAIN)
    same = chance.random() < 0.5
    other = (
        (first, second) if same else tuple(chance.sample([each for each in NOUNS if each not in {first, second}], 2))
    )
    return {
        "sentence1": f"the {manner} {first} {verb} the {second} .",
        "sentence2": f"{'near' if same else 'before'} the {other[1]} the {other[0]} {verb} .",
        "label": int(same),
        "idx": position,
    }


def _opinion(chance: random.Random, position: int) -> Row:
    praised = chance.random() < 0.5
    words = chance.sample(GOOD if praised else BAD, 2)
    sentence = (
        f"the {chance.choice(NOUNS)} is {words[0]} and the {chance.choice(('film', 'story'))} is very {words[1]} ."
    )
    return {"sentence": sentence, "label": int(praised), "idx": position}


def _sentence(chance: random.Random) -> str:
    one, other = chance.sample(NOUNS, 2)
    return f"the {chance.choice(PLAIN)} {one} {chance.choice(VERBS)} a {chance.choice(GOOD)} {other} ."


def write(rows: tuple[Row, ...], path: Path) -> Path:
    """Put rows into a file; its suffix (.csv, .jsonl, .parquet) says how."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, fieldnames=list(rows[0]))
                table.writeheader()
                table.writerows(rows)
        case ".jsonl":
            path.write_text("".join(_json_lines(rows)), encoding="utf-8")
        case ".parquet":
            pq.write_table(pa.Table.from_pylist([dict(each) for each in rows], schema=_arrow(rows[0])), path)
        case other:
            raise ValueError(f"Rows cannot be written as {other!r}.")
    return path


def _json_lines(rows: tuple[Row, ...]) -> Iterator[str]:
    return (json.dumps(each) + "\n" for each in rows)


def _arrow(row: Row) -> pa.Schema:
    types = {"label": pa.int64(), "idx": pa.int32()}
    return pa.schema([(name, types.get(name, pa.string())) for name in row])


def readme(configs: Mapping[str, Schema]) -> str:
    """A data set card whose head names the configurations, their files and the names of the labels."""
    infos = "".join(_info(name, schema) for name, schema in configs.items())
    files = "".join(_files(name) for name in configs)
    return (
        f"---\ndataset_info:\n{infos}configs:\n{files}---\nInvented rows in the schema of the data set of this name.\n"
    )


def _info(name: str, schema: Schema) -> str:
    features = "".join(_feature(column, schema) for column in schema.columns)
    return f"- config_name: {name}\n  features:\n{features}"


def _feature(column: str, schema: Schema) -> str:
    if column == "label":
        names = "".join(f"          '{number}': {label}\n" for number, label in enumerate(schema.labels))
        return f"  - name: label\n    dtype:\n      class_label:\n        names:\n{names}"
    return f"  - name: {column}\n    dtype: {'int32' if column == 'idx' else 'string'}\n"


def _files(name: str) -> str:
    parts = "".join(f"  - split: {split}\n    path: {name}/{split}-*\n" for split in SIZES)
    return f"- config_name: {name}\n  data_files:\n{parts}"


def dataset(folder: Path, configs: Mapping[str, tuple[Schema, Any]], seed: int = 0) -> None:
    """Write a data set repository: a card, and Parquet files per configuration and split."""
    for name, (_, maker) in configs.items():
        for split, size in SIZES.items():
            write(maker(split, size, seed), folder / name / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text(readme({name: schema for name, (schema, _) in configs.items()}), encoding="utf-8")
