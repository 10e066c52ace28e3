"""HTML as values: what is not markup already is escaped, so that no name or log line of a user's becomes any."""

import html
from collections.abc import Iterable

VOID = frozenset({"img", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML."""

    __slots__ = ()


def element(tag: str, *content: object, **attributes: object) -> Markup:
    """An element; `class_` is written class, `aria_label` aria-label, and what is None or False is left out."""
    head = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID:
        return Markup(f"<{tag}{head}>")
    return Markup(f"<{tag}{head}>{text(*content)}</{tag}>")


def text(*content: object) -> Markup:
    """Markup, values and iterables of both, one after the other."""
    return Markup("".join(_piece(each) for each in content))


def _piece(value: object) -> str:
    match value:
        case None:
            return ""
        case Markup():
            return value
        case str():
            return html.escape(value)
        case Iterable():
            return text(*value)
        case _:
            return html.escape(str(value))


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{html.escape(str(value))}"'
