"""Reads what a part of another version has written, as far as this version knows its words."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

ModelT = TypeVar("ModelT", bound=BaseModel)
_OBJECT = TypeAdapter(dict[str, Any])


def legible(model: type[ModelT], given: Mapping[str, Any]) -> ModelT:
    """The value without the entries that do not fit the model; raises ValidationError when it needs one of them."""
    while True:
        try:
            return model.model_validate(given)
        except ValidationError as wrong:
            place = _unfit(wrong)
            if not place:
                raise
            given = _without(given, place)


def legible_json(model: type[ModelT], text: str | bytes) -> ModelT:
    """The same of a JSON object; raises ValidationError also when it is none."""
    return legible(model, _OBJECT.validate_json(text))


def _unfit(wrong: ValidationError) -> tuple[int | str, ...]:
    """Where the first entry is that does not fit: around what is missing, for the entry is nothing without it."""
    first = wrong.errors(include_url=False, include_context=False)[0]
    return first["loc"][:-1] if first["type"] == "missing" else first["loc"]


def _without(given: Mapping[str, Any], place: tuple[int | str, ...]) -> Mapping[str, Any]:
    rest = deepcopy(dict(given))
    *parents, last = place
    around: Any = rest
    for name in parents:
        around = around[name]
    del around[last]
    return rest
