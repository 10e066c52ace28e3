"""Every kind of end that was observed on a real cluster, as the pod's manifest showed it, and the cause it is given."""

import json
from typing import Any

import pytest
from finetune_operator.api.status import AttemptStatus, Cause
from finetune_operator.core.causes import verdict
from finetune_operator.core.gang import Gang
from finetune_operator.core.pods import pod
from finetune_trainer.contract.outcome import OutcomeKind

GOING = "2026-01-01T12:01:00Z"


def manifest(rank: int = 0, *, deleted: bool = False, **status: Any) -> dict[str, Any]:
    meta = {
        "name": f"bert-1-{rank}",
        "uid": f"u{rank}",
        "labels": {"finetune.dev/attempt": "1", "finetune.dev/node-rank": str(rank)},
        "ownerReferences": [{"uid": "j", "controller": True}],
    }
    return {
        "metadata": meta | ({"deletionTimestamp": GOING} if deleted else {}),
        "spec": {"nodeName": f"node-{rank}"},
        "status": status,
    }


def target(reason: str) -> list[dict[str, str]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"}]


def ended(code: int, reason: str = "Error", message: str = "") -> list[dict[str, Any]]:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return [{"name": "trainer", "state": state, "ready": False}]


def waiting(reason: str) -> list[dict[str, Any]]:
    return [{"name": "trainer", "state": {"waiting": {"reason": reason, "message": "It is stuck."}}}]


RUNNING: list[dict[str, Any]] = [{"name": "trainer", "state": {"running": {}}, "ready": True}]


def word(kind: OutcomeKind, reason: str = "Why", second: int = 0) -> str:
    return json.dumps(
        {
            "kind": kind,
            "reason": reason,
            "message": "It ended.",
            "attempt": 1,
            "token": "t",
            "endedAt": f"2026-01-01T12:00:{second:02}Z",
        }
    )


def judged(*manifests: dict[str, Any], written: AttemptStatus | None = None) -> tuple[Cause, str] | None:
    found = verdict(Gang(members=tuple(pod(m) for m in manifests)), written)
    return (found.cause, found.reason) if found else None


ENDS = {
    "runs": (manifest(phase="Running", containerStatuses=RUNNING), None),
    "preempted by the scheduler, still shutting down": (
        manifest(deleted=True, phase="Running", conditions=target("PreemptionByScheduler"), containerStatuses=RUNNING),
        (Cause.PREEMPTED, "PreemptionByScheduler"),
    ),
    "preempted by the scheduler, exit 143": (
        manifest(
            deleted=True, phase="Failed", conditions=target("PreemptionByScheduler"), containerStatuses=ended(143)
        ),
        (Cause.PREEMPTED, "PreemptionByScheduler"),
    ),
    "preempted by the scheduler, exit 0": (
        manifest(
            deleted=True,
            phase="Succeeded",
            conditions=target("PreemptionByScheduler"),
            containerStatuses=ended(0, "Completed"),
        ),
        (Cause.PREEMPTED, "PreemptionByScheduler"),
    ),
    "preempted while its program reports a failure": (
        manifest(
            deleted=True,
            phase="Failed",
            conditions=target("PreemptionByScheduler"),
            containerStatuses=ended(1, message=word(OutcomeKind.FAILED)),
        ),
        (Cause.PREEMPTED, "PreemptionByScheduler"),
    ),
    "finished inside its grace period": (
        manifest(
            deleted=True,
            phase="Succeeded",
            conditions=target("PreemptionByScheduler"),
            containerStatuses=ended(0, message=word(OutcomeKind.FINISHED, "Finished")),
        ),
        (Cause.FINISHED, "Finished"),
    ),
    "evicted through the API": (
        manifest(
            deleted=True, phase="Failed", conditions=target("EvictionByEvictionAPI"), containerStatuses=ended(143)
        ),
        (Cause.PREEMPTED, "EvictionByEvictionAPI"),
    ),
    "tainted": (
        manifest(
            deleted=True, phase="Failed", conditions=target("DeletionByTaintManager"), containerStatuses=ended(143)
        ),
        (Cause.PREEMPTED, "DeletionByTaintManager"),
    ),
    "node object deleted, container statuses say running": (
        manifest(deleted=True, phase="Failed", conditions=target("DeletionByPodGC"), containerStatuses=RUNNING),
        (Cause.PREEMPTED, "DeletionByPodGC"),
    ),
    "node lost, others healthy": (
        manifest(
            deleted=True,
            phase="Running",
            conditions=[*target("DeletionByTaintManager"), {"type": "Ready", "status": "False"}],
            containerStatuses=RUNNING,
        ),
        (Cause.PREEMPTED, "DeletionByTaintManager"),
    ),
    "all nodes lost: unreachable is not dead": (
        manifest(phase="Running", conditions=[{"type": "Ready", "status": "False"}], containerStatuses=RUNNING),
        None,
    ),
    "node memory pressure": (
        manifest(
            phase="Failed",
            reason="Evicted",
            message="low on memory",
            conditions=target("TerminationByKubelet"),
            containerStatuses=ended(137),
        ),
        (Cause.PREEMPTED, "TerminationByKubelet"),
    ),
    "ephemeral storage limit, whatever the trainer says": (
        manifest(
            phase="Failed",
            reason="Evicted",
            message="too large",
            containerStatuses=ended(85, message=word(OutcomeKind.PREEMPTED)),
        ),
        (Cause.INFRASTRUCTURE, "Evicted"),
    ),
    "graceful node shutdown": (
        manifest(phase="Failed", reason="Terminated", message="shutdown", containerStatuses=ended(143)),
        (Cause.PREEMPTED, "Terminated"),
    ),
    "the pod's own deadline": (
        manifest(phase="Failed", reason="DeadlineExceeded", containerStatuses=ended(143)),
        (Cause.INFRASTRUCTURE, "DeadlineExceeded"),
    ),
    "GPU gone before the start": (
        manifest(phase="Failed", reason="OutOfnvidia.com/gpu", message="no GPU"),
        (Cause.INFRASTRUCTURE, "OutOfnvidiaComGpu"),
    ),
    "out of memory by its own limit": (
        manifest(phase="Failed", containerStatuses=ended(137, "OOMKilled")),
        (Cause.FAILURE, "OOMKilled"),
    ),
    "a rank was out of memory and the supervisor says so": (
        manifest(phase="Failed", containerStatuses=ended(1, "OOMKilled", word(OutcomeKind.FAILED))),
        (Cause.FAILURE, "OOMKilled"),
    ),
    "deleted by a person, still running": (
        manifest(deleted=True, phase="Running", containerStatuses=RUNNING),
        (Cause.PREEMPTED, "Deleted"),
    ),
    "deleted by a person, stopped on request": (
        manifest(deleted=True, phase="Failed", containerStatuses=ended(85, message=word(OutcomeKind.PREEMPTED))),
        (Cause.PREEMPTED, "Deleted"),
    ),
    "deleted after it had failed": (
        manifest(deleted=True, phase="Failed", containerStatuses=ended(1, message=word(OutcomeKind.FAILED, "NaN"))),
        (Cause.FAILURE, "NaN"),
    ),
    "stopped on request without a disruption": (
        manifest(phase="Failed", containerStatuses=ended(85, message=word(OutcomeKind.PREEMPTED, "Sigterm"))),
        (Cause.PREEMPTED, "Sigterm"),
    ),
    "killed from outside, or the node rebooted": (
        manifest(phase="Failed", containerStatuses=ended(137)),
        (Cause.INFRASTRUCTURE, "Killed"),
    ),
    "exit 143 by itself": (
        manifest(phase="Failed", containerStatuses=ended(143)),
        (Cause.INFRASTRUCTURE, "Killed"),
    ),
    "exit 1 without a word": (
        manifest(phase="Failed", containerStatuses=ended(1, message="Traceback")),
        (Cause.FAILURE, "Exit1"),
    ),
    "exit 0 without a word is no success": (
        manifest(phase="Succeeded", containerStatuses=ended(0, "Completed")),
        (Cause.FAILURE, "NoOutcome"),
    ),
    "exit 75 without a word": (
        manifest(phase="Failed", containerStatuses=ended(75)),
        (Cause.INFRASTRUCTURE, "Exit75"),
    ),
    "exit 78 without a word": (
        manifest(phase="Failed", containerStatuses=ended(78)),
        (Cause.PERMANENT, "Exit78"),
    ),
    "exit 85 without a word": (
        manifest(phase="Failed", containerStatuses=ended(85)),
        (Cause.PREEMPTED, "Exit85"),
    ),
    "exit 86 without a word": (
        manifest(phase="Failed", containerStatuses=ended(86)),
        (Cause.INFRASTRUCTURE, "Hung"),
    ),
    "the configuration is wrong": (
        manifest(phase="Failed", containerStatuses=ended(78, message=word(OutcomeKind.CONFIGURATION, "BadKey"))),
        (Cause.PERMANENT, "BadKey"),
    ),
    "the surroundings failed": (
        manifest(phase="Failed", containerStatuses=ended(75, message=word(OutcomeKind.RETRY, "NoTracking"))),
        (Cause.INFRASTRUCTURE, "NoTracking"),
    ),
    "hung": (
        manifest(phase="Failed", containerStatuses=ended(86, message=word(OutcomeKind.HUNG, "NoStep"))),
        (Cause.INFRASTRUCTURE, "NoStep"),
    ),
    "container terminated a second before the phase": (
        manifest(phase="Running", containerStatuses=ended(1, message=word(OutcomeKind.FAILED))),
        None,
    ),
    "lost container": (
        manifest(phase="Failed", containerStatuses=ended(137, "ContainerStatusUnknown")),
        (Cause.INFRASTRUCTURE, "ContainerStatusUnknown"),
    ),
    "no container statuses at all": (
        manifest(phase="Failed"),
        (Cause.INFRASTRUCTURE, "NoContainerStatus"),
    ),
    "program not in the image": (
        manifest(phase="Failed", containerStatuses=ended(128, "StartError")),
        (Cause.INFRASTRUCTURE, "StartError"),
    ),
    "image absent": (
        manifest(phase="Pending", containerStatuses=waiting("ImagePullBackOff")),
        (Cause.INFRASTRUCTURE, "ImagePullFailed"),
    ),
    "image name is nonsense": (
        manifest(phase="Pending", containerStatuses=waiting("InvalidImageName")),
        (Cause.INFRASTRUCTURE, "ImagePullFailed"),
    ),
    "waits for its Secret": (manifest(phase="Pending", containerStatuses=waiting("CreateContainerConfigError")), None),
    "waits for a node": (manifest(phase="Pending"), None),
}


@pytest.mark.parametrize(("seen", "cause"), ENDS.values(), ids=ENDS.keys())
def test_every_observed_end_has_its_cause(seen: dict[str, Any], cause: tuple[Cause, str] | None) -> None:
    assert judged(seen) == cause


def test_the_earliest_outcome_that_is_no_echo_is_the_cause() -> None:
    first = manifest(0, phase="Failed", containerStatuses=ended(1, message=word(OutcomeKind.FAILED, "Late", 9)))
    second = manifest(1, phase="Failed", containerStatuses=ended(86, message=word(OutcomeKind.HUNG, "Early", 5)))
    echo = manifest(2, phase="Failed", containerStatuses=ended(1, message=word(OutcomeKind.PEER_LOST, "Echo", 1)))
    assert judged(first, second, echo) == (Cause.INFRASTRUCTURE, "Early")


def test_a_silent_death_comes_before_its_echo() -> None:
    killed = manifest(0, phase="Failed", containerStatuses=ended(139))
    echo = manifest(1, phase="Failed", containerStatuses=ended(1, message=word(OutcomeKind.PEER_LOST, "Echo", 1)))
    assert judged(killed, echo) == (Cause.FAILURE, "Exit139")


def test_a_disruption_of_any_member_explains_the_failures_of_the_others() -> None:
    failed = manifest(0, phase="Failed", containerStatuses=ended(1, message=word(OutcomeKind.FAILED)))
    taken = manifest(1, deleted=True, phase="Running", conditions=target("EvictionByEvictionAPI"))
    assert judged(failed, taken) == (Cause.PREEMPTED, "EvictionByEvictionAPI")


def test_the_last_word_of_a_newer_trainer_counts() -> None:
    said = json.loads(word(OutcomeKind.FINISHED)) | {"newField": 1}
    done = manifest(phase="Succeeded", containerStatuses=ended(0, "Completed", json.dumps(said)))
    assert judged(done) == (Cause.FINISHED, "Why")


def test_our_own_stop_stays_our_own() -> None:
    written = AttemptStatus(attempt=1, cause=Cause.STOPPED, reason="Suspended")
    stopped = manifest(deleted=True, phase="Failed", containerStatuses=ended(1, message=word(OutcomeKind.FAILED)))
    assert judged(stopped, written=written) == (Cause.STOPPED, "Suspended")


def test_what_finished_while_we_stopped_it_is_finished() -> None:
    written = AttemptStatus(attempt=1, cause=Cause.STOPPED, reason="Suspended")
    done = manifest(deleted=True, phase="Succeeded", containerStatuses=ended(0, message=word(OutcomeKind.FINISHED)))
    assert judged(done, written=written) == (Cause.FINISHED, "Why")


def test_a_manifest_of_somebody_elses_pod_can_be_read() -> None:
    stranger = pod({"metadata": {"name": "x", "labels": {"finetune.dev/attempt": "first"}}})
    assert (stranger.owner_uid, stranger.attempt, stranger.uid) == (None, 0, "")
