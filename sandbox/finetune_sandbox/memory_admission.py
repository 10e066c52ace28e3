"""What an API server adds to a new object, and what it refuses, for the kinds that we use."""

import functools
from collections.abc import Iterable
from typing import Any

from finetune_operator.api.admission import Violation, defaulted, violations
from finetune_operator.api.crd import schema
from finetune_operator.api.structural import Schema
from finetune_operator.cluster.port import JOB, POD, Kind, Manifest, Refused
from finetune_operator.names import MAX_JOB_NAME

from finetune_sandbox.nodes import NotAQuantity, quantity

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def admitted(kind: Kind, manifest: Manifest, priorities: dict[str, int]) -> Manifest:
    """A new object with its defaults; raises `Refused` with the API server's sentence."""
    match kind.plural:
        case JOB.plural:
            return _admitted_job(manifest)
        case POD.plural:
            return _admitted_pod(manifest, priorities)
        case _:
            return manifest


def updated(kind: Kind, manifest: Manifest, old: Manifest) -> Manifest:
    """A changed object with its defaults; raises `Refused` when it may not change like this."""
    if kind == JOB:
        return _admitted_job(manifest)
    if kind == POD and manifest.get("spec") != old.get("spec"):
        raise Refused(
            f'Pod "{manifest["metadata"]["name"]}" is invalid: spec: Forbidden: pod updates may not change it'
        )
    frozen = old.get("immutable") is True
    if frozen and any(manifest.get(key) != old.get(key) for key in ("data", "binaryData", "stringData", "immutable")):
        name = manifest["metadata"]["name"]
        raise Refused(f'{kind.kind} "{name}" is invalid: data: Forbidden: field is immutable when `immutable` is set')
    return manifest


def admitted_status(kind: Kind, name: str, status: Manifest) -> Manifest:
    """A status as it is stored: what the schema of a job does not know is dropped without a word."""
    if kind != JOB:
        return status
    schema = _schema()["properties"]["status"]
    kept: Manifest = _pruned(status, schema)
    _refuse_first(name, violations(kept, schema, "status"))
    return kept


@functools.cache
def _schema() -> Schema:
    return schema()


def _admitted_job(manifest: Manifest) -> Manifest:
    """Defaults and types are the CRD's; its CEL rules are evaluated by `finetune run` before it gets here."""
    name = manifest["metadata"]["name"]
    if len(name) > MAX_JOB_NAME:
        raise Refused(f'FineTuneJob.finetune.dev "{name}" is invalid: metadata.name: must have at most 48 characters')
    filled: Manifest = defaulted(manifest, _schema())
    _refuse_first(name, violations(filled, _schema()))
    return filled


def _refuse_first(name: str, found: Iterable[Violation]) -> None:
    for each in found:
        if each.message.startswith("unknown field"):
            raise Refused(f"strict decoding error: {each.message.removesuffix('.')}")
        raise Refused(f'FineTuneJob.finetune.dev "{name}" is invalid: {each}')


def _pruned(value: Any, schema: Schema) -> Any:
    if isinstance(value, list):
        return [_pruned(each, schema.get("items", {})) for each in value]
    if not isinstance(value, dict) or not schema.get("properties"):
        return value
    fields = schema["properties"]
    return {name: _pruned(inner, fields[name]) for name, inner in value.items() if name in fields}


def _admitted_pod(manifest: Manifest, priorities: dict[str, int]) -> Manifest:
    name = manifest["metadata"]["name"]
    spec: dict[str, Any] = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        **manifest["spec"],
    }
    spec["priority"] = _priority(name, spec, priorities | SYSTEM_PRIORITIES)
    spec["containers"] = [_admitted_container(each) for each in spec["containers"]]
    return manifest | {"spec": spec, "status": {"phase": "Pending"}}


def _refuse_no_quantity(amounts: Iterable[str | int]) -> None:
    for each in amounts:
        try:
            quantity(each)
        except NotAQuantity as wrong:
            raise Refused(f'Pod in version "v1" cannot be handled as a Pod: {wrong}') from wrong


def _priority(pod: str, spec: dict[str, Any], priorities: dict[str, int]) -> int:
    wanted = spec.get("priorityClassName")
    if wanted and wanted not in priorities:
        raise Refused(f'pods "{pod}" is forbidden: no PriorityClass with name {wanted} was found')
    return priorities[wanted] if wanted else 0


def _admitted_container(container: dict[str, Any]) -> dict[str, Any]:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}
    _refuse_no_quantity((*limits.values(), *requests.values()))
    return {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        **container,
        "resources": {**resources, **({"requests": requests} if requests else {})},
    }
