"""The statuses that a kubelet writes, as pure functions of the pod and of what happened to its container."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_operator.cluster.port import Manifest

from finetune_sandbox.node_api import condition, with_condition

MAX_MESSAGE_BYTES = 4096
SIGKILLED = 137


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The container does not run yet."""

    reason: str
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The container runs."""

    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """The container has ended."""

    exit_code: int
    reason: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str = ""


State = Waiting | Running | Terminated

NOT_FOUND = Terminated(
    exit_code=SIGKILLED,
    reason="ContainerStatusUnknown",
    message="The container could not be located when the pod was terminated",
)
"""How a container ends that never started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why the kubelet itself ended a pod, or refused it."""

    reason: str
    message: str
    is_disruption: bool = False


def timestamp(moment: datetime) -> str:
    """A time as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def refused(verdict: Verdict, now: datetime) -> Manifest:
    """The status of a pod that the node does not take: there are no container statuses at all."""
    return {
        "phase": "Failed",
        "reason": verdict.reason,
        "message": verdict.message,
        "startTime": timestamp(now),
    }


def status(pod: Manifest, ip: str, state: State, now: datetime) -> Manifest:
    """The status of a pod whose container is in this state; the phase is that of a pod that goes on."""
    name = pod["spec"]["containers"][0]["name"]
    is_ready = isinstance(state, Running)
    has_started = pod["status"].get("phase") == "Running" or not isinstance(state, Waiting)
    told: Manifest = {
        "phase": "Running" if has_started else "Pending",
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "startTime": pod["status"].get("startTime") or timestamp(now),
        "containerStatuses": [_container(pod, state)],
    }
    if not (isinstance(state, Waiting) and state.reason == "ContainerCreating"):
        told |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    unready = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{name}]"}
    conditions = {
        "PodReadyToStartContainers": ("True", {}),
        "Initialized": ("True", {}),
        "Ready": ("True", {}) if is_ready else ("False", unready),
        "ContainersReady": ("True", {}) if is_ready else ("False", unready),
        "PodScheduled": ("True", {}),
    }
    return told | {"conditions": _conditions(pod, conditions, now)}


def ended(pod: Manifest, ip: str, state: Terminated, verdict: Verdict | None, now: datetime) -> Manifest:
    """The last status of a pod."""
    succeeded = state.exit_code == 0 and verdict is None
    because = {"reason": "PodCompleted" if succeeded else "PodFailed"}
    told = status(pod, ip, state, now) | {"phase": "Succeeded" if succeeded else "Failed"}
    changed = {
        "PodReadyToStartContainers": ("False", {}),
        "Ready": ("False", because),
        "ContainersReady": ("False", because),
    }
    told["conditions"] = _conditions({"status": told}, changed, now)
    if verdict is None:
        return told
    if verdict.is_disruption:
        target = {"DisruptionTarget": ("True", {"reason": "TerminationByKubelet", "message": verdict.message})}
        told["conditions"] = _conditions({"status": told}, target, now)
    return told | {"reason": verdict.reason, "message": verdict.message}


def terminated(
    code: int, started_at: datetime, finished_at: datetime, message: str, *, out_of_memory: bool
) -> Terminated:
    """How a process's return code (negative for a signal) looks in a container's status."""
    exit_code = 128 - code if code < 0 else code
    reason = "Completed" if exit_code == 0 else "OOMKilled" if out_of_memory else "Error"
    return Terminated(
        exit_code=exit_code, reason=reason, started_at=started_at, finished_at=finished_at, message=message
    )


def termination_message(file: bytes, log: bytes, policy: str, code: int) -> str:
    """What the container left behind, cut as the kubelet cuts it."""
    if not file and policy == "FallbackToLogsOnError" and code != 0:
        return b"\n".join(log[-2048:].splitlines()[-80:]).decode(errors="replace")
    return file[-MAX_MESSAGE_BYTES:].decode(errors="replace")


def _container(pod: Manifest, state: State) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]
    told: dict[str, Any] = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "" if isinstance(state, Waiting) else f"process://{container.get('image', '')}",
        "ready": isinstance(state, Running),
        "started": isinstance(state, Running),
        "restartCount": 0,
        "lastState": {},
    }
    match state:
        case Waiting():
            told["state"] = {"waiting": _without_none({"reason": state.reason, "message": state.message})}
        case Running():
            told["state"] = {"running": {"startedAt": timestamp(state.started_at)}}
        case Terminated():
            told["state"] = {"terminated": _terminated(state)}
    return told


def _terminated(state: Terminated) -> dict[str, Any]:
    return _without_none(
        {
            "exitCode": state.exit_code,
            "reason": state.reason,
            "message": state.message or None,
            "startedAt": timestamp(state.started_at) if state.started_at else None,
            "finishedAt": timestamp(state.finished_at) if state.finished_at else None,
        }
    )


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _conditions(pod: Manifest, changed: dict[str, tuple[str, dict[str, str]]], now: datetime) -> list[Manifest]:
    """The pod's conditions with these changed; those of others, above all DisruptionTarget, stay."""
    conditions: list[Manifest] = list(pod["status"].get("conditions") or ())
    for kind, (value, why) in changed.items():
        if kind == "PodScheduled" and condition(conditions, kind):
            continue
        new = {"type": kind, "status": value, "lastTransitionTime": timestamp(now), **why}
        conditions = with_condition(conditions, new)
    return conditions
