"""Invented texts with something marked in them: people and places, answers, moods, how near two sentences are."""

import random
from pathlib import Path

from finetune_sandbox.hub.rows import BAD, GOOD, NOUNS, PLAIN, VERBS, Row
from finetune_sandbox.hub.stories import nested

ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
PEOPLE, PLACES = ("painter", "teacher"), ("river", "garden", "market", "island", "harbor", "valley")
EMOTIONS = (
    *("admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire"),
    *("disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy"),
    *("love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral"),
)


def conll(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Sentences of words, each with its number in ENTITIES; an adjective belongs to the name behind it."""
    chance = random.Random(f"conll/{split}/{seed}")
    return tuple(_named(chance, position) for position in range(size))


def squad(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Stories, and who did what as a question; the answer is to what."""
    chance = random.Random(f"squad/{split}/{seed}")
    return tuple(_asked(chance, position) for position in range(size))


def emotions(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Remarks with the numbers of the moods that they show, one for each adjective."""
    chance = random.Random(f"emotions/{split}/{seed}")
    return tuple(_remark(chance, position) for position in range(size))


def similar(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Pairs of sentences with the share of words that they have in common."""
    chance = random.Random(f"similar/{split}/{seed}")
    return tuple(_alike(chance) for _ in range(size))


def _named(chance: random.Random, position: int) -> Row:
    person, place = chance.choice(PEOPLE), chance.choice(PLACES)
    words = ["the", chance.choice(PLAIN), person, chance.choice(VERBS), "a", chance.choice(GOOD), place, "."]
    names = ["O", "B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]
    cut = chance.choice((0, 1))  # The sentence may begin without an article.
    tags = [ENTITIES.index(name) for name in names]
    return {"id": str(position), "tokens": words[cut:], "ner_tags": tags[cut:]}


def _asked(chance: random.Random, position: int) -> Row:
    subjects = chance.sample(NOUNS, chance.randint(3, 8))
    told = [(subject, chance.choice(VERBS), chance.choice(GOOD), chance.choice(NOUNS)) for subject in subjects]
    sentences = [f"the {subject} {verb} a {manner} {thing} ." for subject, verb, manner, thing in told]
    nth = chance.randrange(len(told))
    subject, verb, manner, thing = told[nth]
    begin = sum(len(one) + 1 for one in sentences[:nth]) + sentences[nth].index(f"a {manner}")
    return {
        "id": str(position),
        "title": subject,
        "context": " ".join(sentences),
        "question": f"the {subject} {verb}",
        "answers": {"text": [f"a {manner} {thing}"], "answer_start": [begin]},
    }


def _remark(chance: random.Random, position: int) -> Row:
    words = chance.sample((*GOOD, *BAD), chance.randint(0, 2))
    said = " and ".join(words) or chance.choice(PLAIN)
    moods = sorted((*GOOD, *BAD).index(word) for word in words) or [EMOTIONS.index("neutral")]
    return {"text": f"the {chance.choice(NOUNS)} is {said} .", "labels": moods, "id": str(position)}


def _alike(chance: random.Random) -> Row:
    first = [chance.choice(pool) for pool in (PLAIN, NOUNS, VERBS, NOUNS)]
    second = [
        word if chance.random() < 0.5 else chance.choice(pool)
        for word, pool in zip(first, (PLAIN, NOUNS, VERBS, NOUNS), strict=True)
    ]
    shared = sum(one == other for one, other in zip(first, second, strict=True))
    return {"sentence1": _said(first), "sentence2": _said(second), "score": shared / len(first)}


def _said(words: list[str]) -> str:
    manner, subject, verb, thing = words
    return f"the {manner} {subject} {verb} the {thing} ."


def conll2003(folder: Path, seed: int = 0) -> None:
    """A data set repository of named entities, whose card names the labels of words."""
    features = _texts("id") + _lists("tokens", "string") + _numbered("ner_tags", ENTITIES)
    nested(folder, "conll2003", conll, seed, _card("conll2003", features))


def rajpurkar(folder: Path, seed: int = 0) -> None:
    """A data set repository of questions."""
    nested(folder, "plain_text", squad, seed)


def go_emotions(folder: Path, seed: int = 0) -> None:
    """A data set repository of moods, whose card names them."""
    features = _texts("text") + _numbered("labels", EMOTIONS) + _texts("id")
    nested(folder, "simplified", emotions, seed, _card("simplified", features))


def stsb(folder: Path, seed: int = 0) -> None:
    """A data set repository of similarities."""
    nested(folder, "default", similar, seed)


def _card(config: str, features: str) -> str:
    return f"dataset_info:\n- config_name: {config}\n  features:\n{features}"


def _texts(*columns: str) -> str:
    return "".join(f"  - name: {column}\n    dtype: string\n" for column in columns)


def _lists(column: str, kind: str) -> str:
    return f"  - name: {column}\n    sequence: {kind}\n"


def _numbered(column: str, names: tuple[str, ...]) -> str:
    listed = "".join(f"          '{number}': {name}\n" for number, name in enumerate(names))
    return f"  - name: {column}\n    sequence:\n      class_label:\n        names:\n{listed}"
