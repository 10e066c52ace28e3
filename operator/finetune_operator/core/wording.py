"""Words that keep a sentence a sentence, however large a gang is, and whatever others said."""

from collections.abc import Sequence

_NAMED = 3
_QUOTED = 700
"""Characters: what we say after it still fits into an event, which has 1,024."""


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`, and of more than four the first three: `a, b, c and 47 more`."""
    if len(names) > _NAMED + 1:
        names = (*names[:_NAMED], f"{len(names) - _NAMED} more")
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def has(names: Sequence[str]) -> str:
    """The verb that goes with them."""
    return "has" if len(names) == 1 else "have"


def sentence(text: str) -> str:
    """What somebody else said, as one of our sentences; a webhook's refusal may be pages long."""
    said = text.strip().rstrip(".")
    return f"{said}." if len(said) <= _QUOTED else f"{said[:_QUOTED].rstrip()}..."
