"""YAML as kubectl reads it: Go's library, which takes other words for booleans and numbers than PyYAML does."""

import math
import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml
from yaml.constructor import ConstructorError

Scalar = str | int | float | bool | None

TRUE = ("true", "yes", "on", "y")
FALSE = ("false", "no", "off", "n")
NULL = ("", "~", "null", "Null", "NULL")
WORDS: dict[str, Scalar] = {
    **{written: True for word in TRUE for written in (word, word.capitalize(), word.upper())},
    **{written: False for word in FALSE for written in (word, word.capitalize(), word.upper())},
    **dict.fromkeys(NULL),
}
NO_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?([0-7]+)|0|[1-9][0-9]*)")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
BETWEEN_DIGITS = re.compile(r"(?<=[0-9])_(?=[0-9])")
TAGS = {
    kind: f"tag:yaml.org,2002:{name}"
    for kind, name in ((str, "str"), (bool, "bool"), (int, "int"), (float, "float"), (type(None), "null"))
}
MERGE = "tag:yaml.org,2002:merge"


def meaning(text: str) -> Scalar:
    """What a word without quotes stands for; dates and base 60 are strings."""
    if text in WORDS:
        return WORDS[text]
    if NO_JSON.fullmatch(text):
        return float(text.replace(".", "", 1))
    plain = BETWEEN_DIGITS.sub("", text) if text[0] in "._" else text.replace("_", "")
    for number in (_integer(plain), _float(plain)):
        if number is not None:
            return number
    return text


def _integer(text: str) -> int | None:
    """An integer that 64 bits hold, in any of Go's bases."""
    match = INTEGER.fullmatch(text)
    if not match:
        return None
    sign, digits, octal = match.groups()
    number = int(f"{sign}{octal}", 8) if octal else int(sign + digits, 0)
    return number if -(2**63) <= number < 2**64 else None


def _float(text: str) -> float | None:
    number = float(text) if FLOAT.fullmatch(text) else math.inf
    return None if math.isinf(number) else number


class KubernetesLoader(yaml.SafeLoader):
    """Makes of YAML the JSON that kubectl makes of it, and takes no key twice."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node that has none."""
        if kind is yaml.ScalarNode and implicit[0]:
            return MERGE if value == "<<" else TAGS[type(meaning(value))]
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping; raises ConstructorError where PyYAML would let the last of two values win."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if key.tag != MERGE):
            name = _key(key)
            if name in seen:
                raise ConstructorError(problem=f"{name} stands there twice", problem_mark=key.start_mark)
            seen.add(name)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are strings, as JSON has them; what `<<` brings wins over what stands above it."""
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(problem="only a mapping can be merged", problem_mark=node.start_mark)
        made: dict[Hashable, Any] = {}
        for key, value in node.value:
            if key.tag != MERGE:
                made[_key(key)] = self.construct_object(value, deep=deep)
                continue
            for each in reversed(value.value if isinstance(value, yaml.SequenceNode) else [value]):
                made |= self.construct_mapping(each, deep=True)
        return made

    def construct_number(self, node: yaml.ScalarNode) -> Scalar:
        """A word that is no string; JSON writes whole numbers without a point."""
        value = meaning(str(self.construct_scalar(node)))
        if not isinstance(value, float):
            return value
        if NO_JSON.fullmatch(node.value):
            raise ConstructorError(problem=f"{node.value} is no number that JSON has", problem_mark=node.start_mark)
        return int(value) if value.is_integer() and abs(value) < 2**63 else value


for kind, tag in TAGS.items():
    if kind is not str:
        KubernetesLoader.add_constructor(tag, KubernetesLoader.construct_number)


def documents(text: str) -> Iterator[Any]:
    """What kubectl makes of each document; raises YAMLError with the place of what it cannot read."""
    return yaml.load_all(text, KubernetesLoader)


def _key(node: yaml.Node) -> str:
    """A key as JSON has it; raises ConstructorError for a list, a mapping or null."""
    value = meaning(node.value) if isinstance(node, yaml.ScalarNode) and node.tag != TAGS[str] else node.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int | str):
        return str(value)
    raise ConstructorError(problem="a key is neither a word nor a number", problem_mark=node.start_mark)


class Plain(yaml.SafeDumper):
    """Writes every node out, without anchors, and quotes what any reader would not take for the string that it is."""

    def ignore_aliases(self, data: object) -> bool:
        """Write a node again rather than refer to it."""
        del data
        return True

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag that kubectl gives to a node without one; where it sees a string, the tag that PyYAML gives."""
        if kind is yaml.ScalarNode and implicit[0] and not isinstance(meaning(value), str):
            return TAGS[type(meaning(value))]
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
