"""Why an attempt ended.

The order of evidence: the outcome `finished`; what is already written down, our own stop above all; a disruption that
Kubernetes announced; what the node said; the earliest outcome that is not an echo of another member's end; a deletion
that was not ours, or a pod that vanished; the exit code; an image that cannot be pulled. A pod counts as ended by its
phase alone, and a node that no longer answers proves nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from finetune_trainer.contract.outcome import ExitCode, OutcomeKind

from finetune_operator.api.status import AttemptStatus, Cause
from finetune_operator.core.gang import Gang
from finetune_operator.core.observed import Pod
from finetune_operator.core.wording import sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why an attempt ended, in a word, a reason and a sentence."""

    cause: Cause
    reason: str
    message: str
    node: str | None = None
    exit_code: int | None = None


PEER_LOST = "PeerLost"
_TAKEN_BY_THE_NODE = {"Terminated", "NodeShutdown", "Shutdown", "Preempting", "TaintToleration"}
_STUCK_ON_ITS_IMAGE = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_NEVER_STARTED = {"ContainerStatusUnknown", "StartError", "ContainerCannotRun"}
_CAUSES = {
    OutcomeKind.RETRY: Cause.INFRASTRUCTURE,
    OutcomeKind.HUNG: Cause.INFRASTRUCTURE,
    OutcomeKind.PEER_LOST: Cause.INFRASTRUCTURE,
    OutcomeKind.CONFIGURATION: Cause.PERMANENT,
    OutcomeKind.FAILED: Cause.FAILURE,
}


def verdict(gang: Gang, written: AttemptStatus | None = None, *, was_complete: bool = True) -> Verdict | None:
    """Why the attempt ends, None while it goes on; `written` is what an earlier pass has written down of its end."""
    if done := _finished(gang):
        return done
    fresh = _first(_EVIDENCE if written is None else _EVIDENCE_WHILE_WE_STOP, gang)
    if written is not None:
        echo = written.reason == PEER_LOST and fresh is not None
        return fresh if echo else _as_written(written)
    if fresh is None and was_complete and gang.missing:
        return _preempted("Vanished", None)
    return fresh


def _first(checks: tuple[Callable[[Gang], Verdict | None], ...], gang: Gang) -> Verdict | None:
    return next((found for check in checks if (found := check(gang)) is not None), None)


def _as_written(written: AttemptStatus) -> Verdict:
    return Verdict(
        cause=written.cause,
        reason=written.reason,
        message=written.message,
        node=written.node,
        exit_code=written.exit_code,
    )


def _finished(gang: Gang) -> Verdict | None:
    first = gang.first
    if first is None or not first.is_terminal or first.outcome is None or first.outcome.kind != OutcomeKind.FINISHED:
        return None
    return _of(first, Cause.FINISHED, first.outcome.reason, first.outcome.message)


def _announced(gang: Gang) -> Verdict | None:
    """DisruptionTarget alone is an intention that Kubernetes may take back: the pod must be ending too."""
    for pod in gang.members:
        if pod.disruption and (pod.is_ending or pod.is_terminal):
            return _preempted(pod.disruption.reason, pod)
    return None


def _said_by_the_node(gang: Gang) -> Verdict | None:
    for pod in gang.ended:
        if pod.status is None:
            continue
        if pod.status.reason in _TAKEN_BY_THE_NODE:
            return _preempted(pod.status.reason, pod)
        text = f"{pod.node or 'The node'} ended the pod ({pod.status.reason}): {sentence(pod.status.message)}"
        return _of(pod, Cause.INFRASTRUCTURE, _camel(pod.status.reason), text)
    return None


def _told_by_the_trainer(gang: Gang) -> Verdict | None:
    return _earliest(gang, lambda kind: kind in _CAUSES and kind is not OutcomeKind.PEER_LOST)


def _echoed(gang: Gang) -> Verdict | None:
    return _earliest(gang, lambda kind: kind is OutcomeKind.PEER_LOST)


def _earliest(gang: Gang, is_wanted: Callable[[OutcomeKind], bool]) -> Verdict | None:
    told = [(pod.outcome, pod) for pod in gang.ended if pod.outcome and is_wanted(pod.outcome.kind)]
    if not told:
        return None
    outcome, pod = min(told, key=lambda pair: pair[0].ended_at)
    out_of_memory = outcome.kind is OutcomeKind.FAILED and _exit(gang, _ran_out_of_memory)
    if out_of_memory:
        return out_of_memory
    reason = PEER_LOST if outcome.kind is OutcomeKind.PEER_LOST else outcome.reason
    return _of(pod, _CAUSES[outcome.kind], reason, outcome.message)


def _deleted(gang: Gang) -> Verdict | None:
    return next((_preempted("Deleted", pod) for pod in gang.members if pod.is_ending), None)


def _stopped_itself(gang: Gang) -> Verdict | None:
    for pod in gang.ended:
        if pod.outcome and pod.outcome.kind is OutcomeKind.PREEMPTED:
            return _preempted(pod.outcome.reason, pod)
    return None


def _exited(gang: Gang) -> Verdict | None:
    return _exit(gang, _by_exit_code)


def _exit(gang: Gang, judged: Callable[[Pod], Verdict | None]) -> Verdict | None:
    silent = [pod for pod in gang.ended if pod.outcome is None or judged is _ran_out_of_memory]
    return next((found for pod in silent if (found := judged(pod)) is not None), None)


def _ran_out_of_memory(pod: Pod) -> Verdict | None:
    if pod.terminated is None or pod.terminated.reason != "OOMKilled":
        return None
    advice = "Raise compute.memoryPerNode, or lower training.per_device_train_batch_size."
    return _of(pod, Cause.FAILURE, "OOMKilled", f"The trainer ran out of memory{_at(pod)}. {advice}")


def _by_exit_code(pod: Pod) -> Verdict:
    ended = pod.terminated
    if ended is None or ended.reason in _NEVER_STARTED:
        reason = ended.reason if ended else "NoContainerStatus"
        return _of(
            pod, Cause.INFRASTRUCTURE, reason, f"The pod ended{_at(pod)} and its trainer left no word ({reason})."
        )
    if out_of_memory := _ran_out_of_memory(pod):
        return out_of_memory
    if ended.exit_code == ExitCode.PREEMPTED:
        return _preempted("Exit85", pod)
    cause, reason = _BY_CODE.get(ended.exit_code, (Cause.FAILURE, f"Exit{ended.exit_code}"))
    return _of(pod, cause, reason, f"The trainer ended{_at(pod)} with exit code {ended.exit_code} and left no word.")


_BY_CODE: dict[int, tuple[Cause, str]] = {
    ExitCode.RETRY: (Cause.INFRASTRUCTURE, "Exit75"),
    ExitCode.CONFIGURATION: (Cause.PERMANENT, "Exit78"),
    ExitCode.HUNG: (Cause.INFRASTRUCTURE, "Hung"),
    # A supervisor always leaves a word, unless it was killed from outside: a reboot, an operator's kill.
    137: (Cause.INFRASTRUCTURE, "Killed"),
    143: (Cause.INFRASTRUCTURE, "Killed"),
    ExitCode.FINISHED: (Cause.FAILURE, "NoOutcome"),
}


def _cannot_pull(gang: Gang) -> Verdict | None:
    for pod in gang.alive:
        if pod.waiting and pod.waiting.reason in _STUCK_ON_ITS_IMAGE:
            advice = "Check spec.image and podTemplate.imagePullSecrets."
            text = f"The trainer's image cannot be pulled{_at(pod)}: {sentence(pod.waiting.message)} {advice}"
            return _of(pod, Cause.INFRASTRUCTURE, "ImagePullFailed", text)
    return None


def _of(pod: Pod, cause: Cause, reason: str, message: str) -> Verdict:
    code = pod.terminated.exit_code if pod.terminated and pod.is_terminal else None
    return Verdict(cause=cause, reason=reason, message=message, node=pod.node, exit_code=code)


def _preempted(reason: str, pod: Pod | None) -> Verdict:
    if pod is None:
        return Verdict(cause=Cause.PREEMPTED, reason=reason, message=f"Preempted ({reason}).")
    return _of(pod, Cause.PREEMPTED, reason, f"Preempted{_at(pod)} ({reason}).")


def _at(pod: Pod) -> str:
    return f" on {pod.node}" if pod.node else ""


def _camel(reason: str) -> str:
    """The reason as a condition may hold it; the kubelet also says OutOfnvidia.com/gpu."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", reason))


_EVIDENCE_WHILE_WE_STOP = (_announced, _said_by_the_node, _told_by_the_trainer, _exited)
"""While the gang is stopped by us, deletions are ours, and a peer's end is an echo."""

_EVIDENCE = (
    _announced,
    _said_by_the_node,
    _told_by_the_trainer,
    _deleted,
    _stopped_itself,
    _exited,
    _cannot_pull,
    _echoed,
)
