"""Turns a model into the structural schema of a CRD; raises on every construct that it does not know."""

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
"""A node of an OpenAPI v3 schema, as a CRD has it."""

KEPT = ("description", "enum", "format", "maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minimum")
KEPT_TOO = ("maximum", "pattern", "type")
IGNORED = {"title", "additionalProperties", "properties", "required", "items", "default", "$defs"}
BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
SCALARS = {"string", "integer", "number", "boolean"}
LIMITS = {"string": ("maxLength", 1024), "array": ("maxItems", 64), "object": ("maxProperties", 64)}
"""What the API server needs to know to bound the cost of a rule, where a model does not say; far above any real use."""
UNTYPED: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class UnknownConstruct(Exception):
    """A model uses something about which the converter was not taught."""


def structural(model: type[BaseModel], *, spec: bool = True) -> Schema:
    """The structural schema of a model as it is written to YAML; a status has neither defaults nor limits."""
    given = model.model_json_schema(by_alias=True)
    return Converter(given.get("$defs", {}), spec=spec).node(given, model.__name__)


class Converter:
    """One conversion: the definitions to inline, and whether it is a spec."""

    def __init__(self, definitions: Schema, *, spec: bool) -> None:
        self.definitions = definitions
        self.spec = spec

    def node(self, given: Schema, path: str) -> Schema:
        """One node, inlined and collapsed; the sentence nearest to the field wins."""
        plain = self.collapsed(given, path)
        unknown = set(plain) - set(KEPT) - set(KEPT_TOO) - IGNORED - set(BOUNDS)
        if unknown:
            raise UnknownConstruct(f"{path}: {sorted(unknown)}.")
        made = {key: plain[key] for key in (*KEPT, *KEPT_TOO) if key in plain}
        for key, bound in BOUNDS.items():
            if key in plain:
                made |= {bound: plain[key], key: True}
        return made | self.limit(plain) | self.default(plain) | self.inside(plain, path)

    def collapsed(self, given: Schema, path: str) -> Schema:
        """The node without references, nullability and constants."""
        if "$ref" in given:
            target = self.definitions[given["$ref"].removeprefix("#/$defs/")]
            return self.collapsed({**target, **{k: v for k, v in given.items() if k != "$ref"}}, path)
        if "anyOf" in given:
            return self.without_null(given, path)
        if "const" in given:
            rest = {k: v for k, v in given.items() if k != "const"}
            return {**rest, "enum": [given["const"]]}
        return given

    def without_null(self, given: Schema, path: str) -> Schema:
        """The one alternative to null: an optional field of a CRD is absent, never null."""
        alternatives = [a for a in given["anyOf"] if a != {"type": "null"}]
        if len(alternatives) != 1:
            raise UnknownConstruct(f"{path}: a choice between {alternatives}.")
        outer = {k: v for k, v in given.items() if k != "anyOf"}
        return self.collapsed({**alternatives[0], **outer}, path)

    def default(self, plain: Schema) -> Schema:
        """A default worth writing down; a block's own default is empty, for its fields have theirs."""
        value = plain.get("default")
        if not self.spec or value in (None, [], ()):
            return {}
        if "properties" in plain:
            return {"default": {}}
        return {} if value == {} else {"default": value}

    def limit(self, plain: Schema) -> Schema:
        """The size that a value may have: its own limit, the longest word of an enum, or the common one."""
        kind = plain.get("type", "")
        if kind not in LIMITS or not self.spec or "properties" in plain or "format" in plain:
            return {}
        key, size = LIMITS[kind]
        return {key: plain.get(key, max(map(len, plain["enum"])) if "enum" in plain else size)}

    def inside(self, plain: Schema, path: str) -> Schema:
        """What a container contains."""
        match plain:
            case {"properties": properties}:
                return self.fields(plain, properties, path)
            case {"type": "object", "additionalProperties": dict() as values}:
                return self.mapping(values, path)
            case {"type": "object", "additionalProperties": True}:
                return dict(UNTYPED)
            case {"type": "array", "items": items}:
                item = {"description": f"One entry of {path.rpartition('.')[2]}."} | self.node(items, f"{path}[]")
                return {"items": item}
            case {"type": kind} if kind in SCALARS:
                return {}
            case _:
                raise UnknownConstruct(f"{path}: {plain}.")

    def fields(self, plain: Schema, properties: Schema, path: str) -> Schema:
        """The fields of an object; every one must be documented."""
        made = {name: self.node(field, f"{path}.{name}") for name, field in properties.items()}
        for name, field in made.items():
            if not field.get("description", "").endswith("."):
                raise UnknownConstruct(f"{path}.{name}: no sentence describes it.")
        required = {"required": plain["required"]} if "required" in plain else {}
        return {"properties": made} | required

    def mapping(self, values: Schema, path: str) -> Schema:
        """A map by name: of one type, of quantities, or of anything."""
        if [each.get("type") for each in values.get("anyOf", ())] == ["integer", "string"]:
            return {"additionalProperties": self.quantity(*values["anyOf"])}
        if values.get("$ref") == "#/$defs/JsonValue" or not values:
            return dict(UNTYPED)
        value = {"description": f"One entry of {path.rpartition('.')[2]}."} | self.node(values, f"{path}.*")
        return {"additionalProperties": value}

    def quantity(self, number: Schema, text: Schema) -> Schema:
        """An integer or a string, with the bounds of both: what bounds one kind says nothing of the other."""
        bounds = {
            key: given[key] for given in (number, text) for key in (*KEPT, *KEPT_TOO) if key in given and key != "type"
        }
        kinds: Schema = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
        return {"description": "A quantity, for example 500m or 64Gi."} | bounds | kinds
