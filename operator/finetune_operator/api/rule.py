"""What a rule of the CRD is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule at one place of the schema."""

    at: str
    """The place, for example spec.podTemplate.env[]; empty for the root."""
    rule: str
    """The CEL expression that must be true."""
    message: str
    """What is wrong, then the next step."""
    message_expression: str = ""
    """CEL for a sentence that says more than `message`, which is told where this cannot be evaluated."""
    field: str = ""
    """The field below the place that the answer points at."""
    reason: str = "FieldValueInvalid"
    """FieldValueForbidden for what may not be there at all."""

    @property
    def is_transition(self) -> bool:
        """Whether it compares with the object before the edit."""
        return "oldSelf" in self.rule


def refused(at: str, name: str, message: str) -> Rule:
    """A field that may not be there.

    The rule sits at the field itself: it costs nothing where the field is absent. From its parent, the API server
    would build the list of all the parent's fields for each question whether there is one.
    """
    return Rule(at=f"{at}.{name}", rule="false", message=message, reason="FieldValueForbidden")
