"""Writes docs/reference.md: every field of a job, its type, default and meaning, and what is refused."""

import json
from collections.abc import Collection, Iterator, Mapping

from finetune_operator.api import crd
from finetune_operator.api.structural import Schema
from finetune_operator.api.unsupported import TABLE
from finetune_trainer.contract.refused_arguments import OWNED, REMOVED

HEAD = """# Reference

Written by `make generate` from the models; do not edit. `kubectl explain finetunejob.spec` says the same.
A field without a default is absent when you leave it out, and its description says what happens then.
"""

NOT_BUILT = """Declared, so that the resource need not change shape. A job that sets one gets the condition `Stalled`
with the reason `Unsupported`, and `finetune validate` refuses it."""


def source() -> str:
    """The page."""
    root = crd.schema()
    training = {"spec.training"}
    sections = (
        HEAD,
        "## spec",
        table(rows(root["properties"]["spec"], "spec", without=training)),
        "## spec.training",
        "transformers.TrainingArguments, by their own names.",
        table(rows(documented(root["properties"]["spec"]["properties"]["training"]), "spec.training")),
        "### Arguments that a job does not set",
        refusals(OWNED),
        "### Names that transformers removed, or that are no arguments",
        refusals(REMOVED),
        "## Not built yet",
        NOT_BUILT,
        "\n".join(f"- `{feature.field}`: {feature.message}" for feature in TABLE),
        "## status",
        table(rows(root["properties"]["status"], "status")),
        "## Rules",
        "Beyond types, the API server refuses a job with one of these sentences.",
        "\n".join(f"- `{at}`: {message}" for at, message in rules(root, "")),
    )
    return "\n\n".join(section.strip() for section in sections) + "\n"


def documented(training: Schema) -> Schema:
    """The block without the refused names, which have tables of their own."""
    kept = {k: v for k, v in training["properties"].items() if k not in {**OWNED, **REMOVED}}
    return training | {"properties": kept}


def rows(node: Schema, path: str, without: Collection[str] = ()) -> Iterator[tuple[str, ...]]:
    """One row for each field below a node, depth first."""
    required = node.get("required", ())
    for name, field in node.get("properties", {}).items():
        here = f"{path}.{name}"
        if here in without:
            continue
        yield (f"`{here}`", kind(field), default(field, is_required=name in required), cell(field["description"]))
        item = field.get("items", {})
        yield from rows(item, f"{here}[]", without) if item else rows(field, here, without)


def kind(field: Schema) -> str:
    """The type in one word or two, or the words that are allowed."""
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"])
    if field.get("type") == "array":
        return f"list of {kind(field['items'])}"
    if "additionalProperties" in field:
        return "map of quantity" if "anyOf" in field["additionalProperties"] else "map of string"
    return str(field["type"])


def default(field: Schema, *, is_required: bool) -> str:
    """The default, or that there must be a value."""
    if is_required:
        return "required"
    value = field.get("default")
    return "" if value in (None, {}) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def rules(node: Schema, path: str) -> Iterator[tuple[str, str]]:
    """Every rule's place and sentence, without those about refused arguments."""
    for rule in node.get("x-kubernetes-validations", ()):
        if not (path == "spec.training" and rule["reason"] == "FieldValueForbidden"):
            yield path + rule.get("fieldPath", "") or "metadata.name", rule["message"]
    for name, field in node.get("properties", {}).items():
        yield from rules(field, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from rules(node["items"], f"{path}[]")


def refusals(names: Mapping[str, tuple[str, str]]) -> str:
    """A table of names and what to use instead."""
    lines = (f"| `{name}` | {cell(sentence)} |" for name, (_, sentence) in names.items())
    return "\n".join(("| name | instead |", "|---|---|", *lines))


def table(lines: Iterator[tuple[str, ...]]) -> str:
    """Rows as a table."""
    head = ("| field | type | default | meaning |", "|---|---|---|---|")
    return "\n".join((*head, *(f"| {' | '.join(line)} |" for line in lines)))


def cell(text: str) -> str:
    """Sentences that end neither their cell nor, by an empty line, the table."""
    return " ".join(text.split()).replace("|", "\\|")
