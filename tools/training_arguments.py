"""Writes the contract's TrainingArguments from the pinned transformers.TrainingArguments."""

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Iterator

import transformers
from finetune_trainer.contract.refused_arguments import OWNED, REMOVED

from tools.training_fields import BOUNDS, DEFAULTS, SENTENCES, TYPES

HEAD = '''"""transformers.TrainingArguments {version}, typed and described. Written by `make generate`; do not edit.

Every field is optional: what is absent is transformers' default. What a job may not set is in `refused_arguments`.
"""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from finetune_trainer.contract.model import Model
from finetune_trainer.contract.refused_arguments import REFUSED

__all__ = ["REFUSED", "TRANSFORMERS_VERSION", "TrainingArguments", "arguments"]

TRANSFORMERS_VERSION = "{version}"
"""The version that this was written from."""


class TrainingArguments(Model):
    """transformers.TrainingArguments, by their own names."""

    model_config = ConfigDict(alias_generator=None)

'''

TAIL = '''
    @model_validator(mode="before")
    @classmethod
    def refused_names_say_what_to_use(cls, given: Any) -> Any:
        """Answer a refused name with its sentence rather than as unknown."""
        for name in given if isinstance(given, dict) else ():
            if name in REFUSED:
                raise ValueError(f"{name} is refused. {REFUSED[name]}")
        return given

    @model_validator(mode="after")
    def groups_by_length_are_refused(self) -> Self:
        """Refuse the one sampling strategy that does not resume at the same example."""
        if self.train_sampling_strategy == "group_by_length":
            raise ValueError(f"train_sampling_strategy: group_by_length is refused. {REFUSED['group_by_length']}")
        return self


def arguments(training: TrainingArguments) -> dict[str, Any]:
    """The arguments that a job sets, for transformers.TrainingArguments."""
    return training.model_dump(mode="json", exclude_none=True)
'''


def source() -> str:
    """The module's text; raises when transformers has a field about which nothing was decided."""
    fields = {f.name: f for f in dataclasses.fields(transformers.TrainingArguments) if f.init}
    decided = set(SENTENCES) | set(OWNED)
    if decided != set(fields) or set(SENTENCES) & (set(OWNED) | set(REMOVED)) or set(REMOVED) & set(fields):
        raise ValueError(f"Decide about these fields of TrainingArguments: {sorted(decided ^ set(fields))}.")
    lines = (line for name in SENTENCES for line in declaration(fields[name]))
    return HEAD.format(version=transformers.__version__) + "\n".join(lines) + "\n" + TAIL


def declaration(field: "dataclasses.Field[typing.Any]") -> Iterator[str]:
    """The lines that declare one field."""
    name = field.name
    bounds = f"Field(default=None, {BOUNDS[name]})" if name in BOUNDS else "None"
    yield f"    {name}: {TYPES.get(name) or annotation(field.type)} | None = {bounds}"
    yield f'    """{SENTENCES[name]}{default(field)}"""'


def annotation(declared: object) -> str:
    """The one type that a field has here: an enum's values, an object for a dict, else the plain type."""
    members = [t for t in typing.get_args(declared) or (declared,) if t is not types.NoneType]
    enums = [t for t in members if isinstance(t, type) and issubclass(t, enum.Enum)]
    if enums:
        return f"Literal[{', '.join(json.dumps(member.value) for member in enums[0])}]"
    if any(t is dict or typing.get_origin(t) is dict for t in members):
        return "dict[str, JsonValue]"
    if len(members) == 1 and members[0] in {int, float, bool, str}:
        return typing.cast("type", members[0]).__name__
    raise ValueError(f"Choose one type for {declared}, in tools/training_fields.py.")


def default(field: "dataclasses.Field[typing.Any]") -> str:
    """The sentence that tells the default, empty where there is none to tell."""
    value = DEFAULTS.get(field.name, field.default)
    if value in {None, ""}:
        return ""
    plain = value.value if isinstance(value, enum.Enum) else value
    return f" The default is {plain if isinstance(plain, str) else json.dumps(plain)}."
