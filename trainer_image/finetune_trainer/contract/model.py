"""The base of every model that is written to YAML or JSON: camelCase outside, snake_case inside."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """An immutable value; unknown fields are refused, the sentence under a field is its documentation."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        # `model` is what users call the thing that is fine-tuned.
        protected_namespaces=(),
    )


class Told(Model):
    """What one part of the product tells another; one of a newer version may say more, which is passed over."""

    model_config = ConfigDict(extra="ignore")
