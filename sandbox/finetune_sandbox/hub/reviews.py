"""Invented reviews of one to five stars: the more is praised, the more stars."""

import random
from pathlib import Path

from finetune_sandbox.hub import rows
from finetune_sandbox.hub.rows import BAD, GOOD, NOUNS, Row, Schema

STARS = 5
YELP = Schema(columns=("label", "text"), labels=tuple(f"{n} star{'s' if n > 2 else ''}" for n in range(1, STARS + 1)))
"""The data set's own names: 1 star, 2 star, 3 stars, 4 stars, 5 stars."""


def yelp(folder: Path, seed: int) -> None:
    """The repository of reviews."""
    rows.dataset(folder, {"yelp_review_full": (YELP, reviews)}, seed)


def reviews(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Four sentences each, of which as many praise as there are stars above the first."""
    chance = random.Random(f"reviews/{split}/{seed}")
    return tuple(_review(chance) for _ in range(size))


def _review(chance: random.Random) -> Row:
    stars = chance.randrange(STARS)
    kinds = [GOOD] * stars + [BAD] * (STARS - 1 - stars)
    chance.shuffle(kinds)
    return {
        "label": stars,
        "text": " ".join(f"the {chance.choice(NOUNS)} is {chance.choice(kind)} ." for kind in kinds),
    }
