"""What an API server adds to a new object, and what it refuses, for the kinds that we use."""

from typing import Any

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.v1alpha1 import FineTuneJobSpec
from finetune_operator.cluster.port import JOB, POD, Kind, Manifest, Refused
from finetune_trainer.contract.model import Model
from pydantic import ValidationError
from pydantic_core import ErrorDetails

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
MAX_NAME = 48


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
    try:
        FineTuneJobStatus.model_validate(status)
    except ValidationError as error:
        wrong = [each for each in error.errors() if each["type"] != "extra_forbidden"]
        if wrong:
            raise Refused(_invalid(name, "status", wrong[0])) from None
        for each in error.errors():
            _drop(status, each["loc"])
    return status


def _admitted_job(manifest: Manifest) -> Manifest:
    name = manifest["metadata"]["name"]
    if len(name) > MAX_NAME:
        raise Refused(f'FineTuneJob.finetune.dev "{name}" is invalid: metadata.name: must have at most 48 characters')
    return manifest | {"spec": _defaulted(FineTuneJobSpec, name, manifest.get("spec") or {})}


def _defaulted(model: type[Model], name: str, value: Any) -> dict[str, Any]:
    try:
        return model.model_validate(value).model_dump(mode="json", by_alias=True, exclude_none=True)
    except ValidationError as error:
        raise Refused(_invalid(name, "spec", error.errors()[0])) from None


def _invalid(name: str, root: str, error: ErrorDetails) -> str:
    path = ".".join((root, *(str(part) for part in error["loc"])))
    if error["type"] == "extra_forbidden":
        return f'strict decoding error: unknown field "{path}"'
    return f'FineTuneJob.finetune.dev "{name}" is invalid: {path}: {error["msg"]}'


def _drop(value: Any, path: tuple[int | str, ...]) -> None:
    for part in path[:-1]:
        value = value[part]
    del value[path[-1]]


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


def _priority(pod: str, spec: dict[str, Any], priorities: dict[str, int]) -> int:
    wanted = spec.get("priorityClassName")
    if wanted and wanted not in priorities:
        raise Refused(f'pods "{pod}" is forbidden: no PriorityClass with name {wanted} was found')
    return priorities[wanted] if wanted else 0


def _admitted_container(container: dict[str, Any]) -> dict[str, Any]:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}
    return {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        **container,
        "resources": {**resources, **({"requests": requests} if requests else {})},
    }
