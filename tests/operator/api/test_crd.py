from collections.abc import Iterator
from typing import Any

import pytest
from finetune_operator.api import crd
from finetune_operator.api.rules import RULES
from finetune_operator.api.structural import Schema, UnknownConstruct, structural
from finetune_operator.api.unsupported import TABLE
from finetune_trainer.contract.model import Model
from pydantic import Field

TYPES = {"object", "array", "string", "boolean", "integer", "number"}
ROOT = crd.schema()


def nodes(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node of the schema with its path."""
    yield path, node
    for name, field in node.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}".lstrip("."))
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if key in node:
            yield from nodes(node[key], path + mark)


def described() -> list[tuple[str, Schema]]:
    """Every node of which `kubectl explain` speaks; the API server itself describes metadata."""
    return [(path, node) for path, node in nodes(ROOT) if path != "metadata"]


def test_every_level_is_described_in_sentences() -> None:
    sentences = {path: node.get("description", "") for path, node in described()}
    assert [path for path, text in sentences.items() if not (text[:1].isupper() or text[:1] == "t")] == []
    assert [path for path, text in sentences.items() if not text.rstrip().endswith(".")] == []


def test_every_node_has_one_type() -> None:
    untyped = [p for p, n in nodes(ROOT) if n.get("type") not in TYPES and "x-kubernetes-int-or-string" not in n]
    assert untyped == []


def test_no_node_is_nullable() -> None:
    assert [path for path, node in nodes(ROOT) if "nullable" in node or node.get("default", 0) is None] == []


def test_every_message_is_a_sentence_of_ours() -> None:
    assert [rule.message for rule in RULES if not rule.message.endswith(".")] == []


def test_every_rule_points_at_a_field_that_exists() -> None:
    assert all(crd.place(ROOT, rule.at + rule.field) for rule in RULES)


def test_every_unsupported_field_exists_and_says_the_next_step() -> None:
    assert all(crd.place(ROOT, feature.field) for feature in TABLE)
    assert [feature.field for feature in TABLE if ";" not in feature.message or feature.message[-1] != "."] == []


def test_the_same_models_give_the_same_bytes() -> None:
    assert crd.text() == crd.text()


def test_conditions_are_a_map_by_type() -> None:
    assert ROOT["properties"]["status"]["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]


def test_a_status_has_no_defaults() -> None:
    assert [path for path, node in nodes(ROOT["properties"]["status"]) if "default" in node] == []


def test_an_optional_field_is_absent_rather_than_null() -> None:
    class Sample(Model):
        """A sample."""

        size: int | None = Field(default=None, gt=0)
        """The size."""

    size = {"description": "The size.", "type": "integer", "minimum": 0, "exclusiveMinimum": True}
    assert structural(Sample)["properties"]["size"] == size


def test_a_choice_of_types_is_refused_by_the_converter() -> None:
    class Sample(Model):
        """A sample."""

        value: int | list[int]
        """The value."""

    with pytest.raises(UnknownConstruct, match=r"Sample\.value: a choice between"):
        structural(Sample)


def test_a_field_without_a_sentence_is_refused_by_the_converter() -> None:
    class Sample(Model):
        """A sample."""

        value: int

    with pytest.raises(UnknownConstruct, match=r"Sample\.value: no sentence describes it"):
        structural(Sample)


def test_a_construct_that_a_crd_lacks_is_refused_by_the_converter() -> None:
    class Sample(Model):
        """A sample."""

        value: int = Field(multiple_of=3)
        """The value."""

    with pytest.raises(UnknownConstruct, match="multipleOf"):
        structural(Sample)


def test_printer_columns_fit_a_terminal_and_the_rest_is_wide() -> None:
    columns: list[dict[str, Any]] = crd.version()["additionalPrinterColumns"]
    narrow = [c["name"] for c in columns if not c.get("priority")]
    wide = [c["name"] for c in columns if c.get("priority")]
    assert narrow == ["Phase", "Reason", "Step", "Progress", "Checkpoint", "Restarts", "Age"]
    assert wide == ["Loss", "ETA", "Run"]
