"""Says offline what the API server would say of a job: defaults, structural schema, then the CRD's own CEL rules."""

import functools
from collections.abc import Iterator
from typing import Any

import cel
from finetune_operator import names
from finetune_operator.api import crd
from finetune_operator.api.admission import Violation, defaulted, violations
from finetune_operator.api.structural import Schema
from finetune_operator.api.unsupported import unsupported
from finetune_operator.api.v1alpha1 import FineTuneJob, FineTuneJobSpec

from finetune_cli.metadata import METADATA

READABLE_METADATA = ("name", "generateName")
"""What CEL sees of metadata."""


@functools.cache
def schema() -> Schema:
    """The schema of a job."""
    return crd.schema()


def filled(job: dict[str, Any]) -> dict[str, Any]:
    """The job with its defaults and without a status."""
    made: dict[str, Any] = defaulted({k: v for k, v in job.items() if k != "status"}, schema())
    return made


def parsed(job: dict[str, Any], **given: Any) -> FineTuneJob:
    """A valid job as the operator would read it; `given` is what the API server would add to its metadata."""
    metadata = {"namespace": "default", "uid": "none", **given, **job["metadata"]}
    return FineTuneJob.model_validate(filled(job) | {"metadata": metadata})


def admission(job: dict[str, Any]) -> tuple[Violation, ...]:
    """Why the API server would refuse a job, or the operator stall it; empty when it can run."""
    whole = filled(job)
    refused = (*identity(whole), *violations(whole, schema()))
    # Like the API server, judge by rules only what has the right shape.
    if refused or (
        refused := (*broken_rules(whole["metadata"], METADATA, "metadata"), *broken_rules(visible(whole), schema()))
    ):
        return refused
    return unsupported(FineTuneJobSpec.model_validate(whole["spec"]))


def identity(job: dict[str, Any]) -> Iterator[Violation]:
    """What is wrong with the fields that every resource has."""
    for field, wanted in (("apiVersion", names.API_VERSION), ("kind", names.KIND)):
        if job.get(field) != wanted:
            yield Violation(field=field, message=f"must be {wanted}.")
    yield from violations(job.get("metadata", {}), METADATA, "metadata")


def visible(job: dict[str, Any]) -> dict[str, Any]:
    """The job as CEL sees it."""
    return job | {"metadata": {k: v for k, v in job["metadata"].items() if k in READABLE_METADATA}}


def broken_rules(value: Any, node: Schema, field: str = "") -> Iterator[Violation]:
    """The rules of a node and of what is below it that do not hold; those about edits have nothing to compare."""
    for rule in node.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not program(rule["rule"]).execute({"self": typed(value, node)}):
            yield Violation(field=(field + rule.get("fieldPath", "")).lstrip("."), message=rule["message"])
    if isinstance(value, dict):
        for name, inner in value.items():
            known = node.get("properties", {}).get(name)
            if known:
                yield from broken_rules(inner, known, f"{field}.{name}".lstrip("."))
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from broken_rules(each, node["items"], f"{field}[{number}]")


@functools.cache
def program(rule: str) -> cel.Program:
    """A rule, compiled."""
    return cel.compile(rule)


def typed(value: Any, node: Schema) -> Any:
    """The value with the types that CEL gives it: what the schema calls a number is never an integer."""
    if isinstance(value, dict):
        fields = node.get("properties", {})
        return {name: typed(inner, fields.get(name, {})) for name, inner in value.items()}
    if isinstance(value, list):
        return [typed(each, node.get("items", {})) for each in value]
    return float(value) if node.get("type") == "number" else value
