"""Reads pages as a browser does, as far as a test asks: elements, their text, and where links lead."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

VOID = {"meta", "link", "input", "img"}


@dataclass(slots=True)
class Element:
    """An element with its attributes and content."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside, with single spaces."""
        return " ".join(" ".join(each if isinstance(each, str) else each.text for each in self.children).split())

    def all(self, tag: str, **attributes: str) -> list["Element"]:
        """Every element below with that tag and those attributes, in the order of the page."""
        return [each for each in self.below() if each.tag == tag and attributes.items() <= each.attributes.items()]

    def below(self) -> Iterator["Element"]:
        """Every element below."""
        for each in self.children:
            if isinstance(each, Element):
                yield each
                yield from each.below()

    def rows(self, caption: str) -> list[list[str]]:
        """The text of the cells of the table with that caption, its head first."""
        (found,) = [each for each in self.all("table") if each.all("caption")[0].text == caption]
        return [[cell.text for cell in row.children if isinstance(cell, Element)] for row in found.all("tr")]

    def values(self) -> dict[str, str]:
        """What definition lists say."""
        names, told = self.all("dt"), self.all("dd")
        return {name.text: value.text for name, value in zip(names, told, strict=True)}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_endtag(self, tag: str) -> None:
        closed = self.open.pop()
        assert closed.tag == tag, f"</{tag}> closes <{closed.tag}>."

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(html: str) -> Element:
    """The page as elements; fails when one is not closed in its turn."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    (page,) = reader.open
    return page


def page(url: str) -> Element:
    """The page at an address."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - The test's own server.
        return read(answer.read().decode())


def status(url: str) -> int:
    """How an address answers."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - The test's own server.
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def site(url: str) -> dict[str, Element]:
    """Every page that can be reached from one, by its address; downloads are left out."""
    known: dict[str, Element] = {}
    waiting = [url]
    while waiting:
        here = waiting.pop()
        if here in known:
            continue
        known[here] = page(here)
        links = [each for each in known[here].all("a") if "download" not in each.attributes]
        waiting += [urlsplit(urljoin(here, each.attributes["href"]))._replace(fragment="").geturl() for each in links]
    return known
