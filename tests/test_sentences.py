"""Sentences for users name fields as YAML has them, so that whoever is told to correct one finds it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune_operator.api import crd

ROOT = Path(__file__).parents[1]
ROOMS = ("trainer_image/finetune_trainer", "operator/finetune_operator", "cli/finetune_cli")
NAMED = re.compile(r"(?<![\w./-])(?:spec\.)?([a-z][A-Za-z]+(?:\.[A-Za-z_]+)+)")


def is_field(path: str, node: Any) -> bool:
    """Whether a path leads to a field of a schema, or into what has no schema."""
    for part in path.split("."):
        inner = node if "properties" in node else node.get("items", node)
        if "properties" not in inner:
            return bool({"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & inner.keys())
        if part not in inner["properties"]:
            return False
        node = inner["properties"][part]
    return True


def sentences(tree: ast.AST) -> Iterator[str]:
    """What a module says that is no docstring."""
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


def test_every_field_that_a_sentence_names_is_one() -> None:
    spec = crd.schema()["properties"]["spec"]
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    said = ((path.name, text) for path in files for text in sentences(ast.parse(path.read_text())) if " " in text)
    named = ((name, match[1].rstrip(".")) for name, text in said for match in NAMED.finditer(text))
    ours = {(name, field) for name, field in named if field.split(".")[0] in spec["properties"]}

    assert [(name, field) for name, field in sorted(ours) if not is_field(field, spec)] == []
