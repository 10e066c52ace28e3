"""A pod's manifest, reduced to what decisions depend on."""

from datetime import datetime
from typing import Any

from finetune_trainer.contract.outcome import Outcome
from pydantic import ValidationError

from finetune_operator import names
from finetune_operator.api.legible import legible_json
from finetune_operator.build.manifest import Manifest
from finetune_operator.core.observed import Pod, PodPhase, Reason, Terminated


def pod(manifest: Manifest) -> Pod:
    """The pod; any pod will do, also one that is not ours."""
    meta = manifest["metadata"]
    status = manifest.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    container = _container(status)
    state = container.get("state") or {}
    terminated = state.get("terminated")
    running = state.get("running") or terminated or {}
    owner = controller(meta)
    phase = PodPhase(status.get("phase") or PodPhase.PENDING)
    return Pod(
        name=meta["name"],
        uid=meta.get("uid", ""),
        owner_uid=owner.get("uid"),
        owner_job=owner.get("name") if owner.get("kind") == names.KIND else None,
        attempt=_number(meta, names.LABEL_ATTEMPT),
        node_rank=_number(meta, names.LABEL_NODE_RANK),
        phase=phase,
        node=(manifest.get("spec") or {}).get("nodeName"),
        ip=status.get("podIP"),
        created_at=_time(meta.get("creationTimestamp")),
        scheduled_at=_scheduled_at(conditions),
        started_at=_time(running.get("startedAt")),
        deletion_at=_time(meta.get("deletionTimestamp")),
        disruption=_disruption(conditions),
        status=_reason(status),
        unschedulable=_unschedulable(conditions),
        waiting=_reason(state.get("waiting") or {}),
        terminated=_terminated(terminated),
        outcome=_outcome(terminated),
        is_unreachable=_is_unreachable(phase, conditions, container),
    )


def _container(status: Manifest) -> Manifest:
    """The trainer's container status; a pod that never reached a node, or lost one, has none."""
    statuses = status.get("containerStatuses") or ()
    return next((s for s in statuses if s.get("name") == names.CONTAINER), {})


def controller(meta: Manifest) -> Manifest:
    """The reference to the controller of the object with this metadata; empty when there is none."""
    return next((owner for owner in meta.get("ownerReferences") or () if owner.get("controller")), {})


def _number(meta: Manifest, label: str) -> int:
    text = (meta.get("labels") or {}).get(label, "")
    return int(text) if text.isdecimal() else 0


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _reason(value: Manifest) -> Reason | None:
    reason = value.get("reason")
    return Reason(reason=reason, message=value.get("message") or "") if reason else None


def _is_true(condition: Manifest | None) -> bool:
    return condition is not None and condition.get("status") == "True"


def _disruption(conditions: dict[str, Any]) -> Reason | None:
    target = conditions.get("DisruptionTarget")
    return _reason(target) if target and _is_true(target) else None


def _scheduled_at(conditions: dict[str, Any]) -> datetime | None:
    scheduled = conditions.get("PodScheduled")
    return _time(scheduled.get("lastTransitionTime")) if scheduled and _is_true(scheduled) else None


def _unschedulable(conditions: dict[str, Any]) -> str | None:
    scheduled = conditions.get("PodScheduled") or {}
    return scheduled.get("message") or "" if scheduled.get("reason") == "Unschedulable" else None


def _terminated(state: Manifest | None) -> Terminated | None:
    if state is None:
        return None
    return Terminated(
        exit_code=state.get("exitCode", 0),
        reason=state.get("reason") or "",
        finished_at=_time(state.get("finishedAt")),
    )


def _outcome(state: Manifest | None) -> Outcome | None:
    """The supervisor's last word; anything else in the termination message is not one."""
    try:
        return legible_json(Outcome, (state or {}).get("message") or "")
    except ValidationError:
        return None


def _is_unreachable(phase: PodPhase, conditions: dict[str, Any], container: Manifest) -> bool:
    """The node controller takes Ready back and leaves the container's own status as the lost kubelet wrote it."""
    ready = conditions.get("Ready") or {}
    return phase is PodPhase.RUNNING and ready.get("status") == "False" and bool(container.get("ready"))
