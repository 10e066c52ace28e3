"""What an API server does with a job before its CEL rules: fill in defaults, check it against the structural schema.

The sentences are the API server's, so that `finetune validate` and `kubectl apply` say the same; a name that is nearly
right is answered with the right one besides.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from finetune_operator.api.structural import Schema

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A field and the sentence about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def defaulted(value: Any, schema: Schema) -> Any:
    """The value with the schema's defaults in the places that were left out, or null."""
    if isinstance(value, dict) and "properties" in schema:
        fields: Schema = schema["properties"]
        given = {k: v for k, v in value.items() if v is not None or "default" not in fields.get(k, {})}
        absent = {k: f["default"] for k, f in fields.items() if k not in given and "default" in f}
        return {k: defaulted(v, fields.get(k, {})) for k, v in {**given, **absent}.items()}
    if isinstance(value, list) and "items" in schema:
        return [defaulted(each, schema["items"]) for each in value]
    return value


def violations(value: Any, schema: Schema, field: str = "") -> Iterator[Violation]:
    """Where a value does not fit the schema."""
    if not is_of_type(value, schema):
        wanted = "integer or string" if "anyOf" in schema else schema["type"]
        yield Violation(field=field, message=f"must be of type {wanted}.")
        return
    yield from (Violation(field=field, message=message) for message in misfits(value, schema))
    if isinstance(value, dict):
        yield from within(value, schema, field)
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from violations(each, schema["items"], f"{field}[{number}]")


def within(value: dict[str, Any], schema: Schema, field: str) -> Iterator[Violation]:
    """What is wrong inside an object or a map."""
    prefix = f"{field}." if field else ""
    for name in schema.get("required", ()):
        if name not in value:
            yield Violation(field=prefix + name, message="Required value.")
    for name, inner in value.items():
        known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
        if known:
            yield from violations(inner, known, prefix + name)
        elif "x-kubernetes-preserve-unknown-fields" not in schema and schema.get("properties"):
            meant = difflib.get_close_matches(name, schema["properties"], n=1)
            hint = f" Did you mean {meant[0]}?" if meant else ""
            yield Violation(field=prefix + name, message=f'unknown field "{prefix}{name}".{hint}')


def is_of_type(value: Any, schema: Schema) -> bool:
    """Whether the JSON type is the schema's; true is no number."""
    if "anyOf" in schema:
        return isinstance(value, int | str) and not isinstance(value, bool)
    kind = schema.get("type")
    if kind is None:
        return True
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def misfits(value: Any, schema: Schema) -> Iterator[str]:
    """What is wrong with a value of the right type."""
    if "enum" in schema and value not in schema["enum"]:
        words = ", ".join(f'"{word}"' for word in schema["enum"])
        yield f'Unsupported value: "{value}": supported values: {words}.'
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from bounds(value, schema)
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"should match '{schema['pattern']}'."
    if isinstance(value, str | list | dict):
        yield from sizes(len(value), schema)


def bounds(value: float, schema: Schema) -> Iterator[str]:
    """How a number misses its bounds."""
    if "minimum" in schema:
        is_open = schema.get("exclusiveMinimum", False)
        if value < schema["minimum"] or (is_open and value == schema["minimum"]):
            yield f"should be greater than {'' if is_open else 'or equal to '}{schema['minimum']}."
    if "maximum" in schema:
        is_open = schema.get("exclusiveMaximum", False)
        if value > schema["maximum"] or (is_open and value == schema["maximum"]):
            yield f"should be less than {'' if is_open else 'or equal to '}{schema['maximum']}."


def sizes(size: int, schema: Schema) -> Iterator[str]:
    """How a string, list or map misses its size."""
    for key, unit in (("maxLength", "bytes"), ("maxItems", "items"), ("maxProperties", "items")):
        if size > schema.get(key, size):
            word = "long" if unit == "bytes" else "many"
            yield f"Too {word}: may not be more than {schema[key]} {unit}."
    if size < schema.get("minLength", 0):
        yield f"should be at least {schema['minLength']} chars long."
