"""What a living gang is doing, or what it waits for."""

import re
from datetime import timedelta

from finetune_trainer.contract.outcome import TrainerState

from finetune_operator.api.status import Phase
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.core.gang import Gang
from finetune_operator.core.observed import Pod, PodPhase, Reason
from finetune_operator.core.status import Headline
from finetune_operator.core.turn import Turn
from finetune_operator.core.wording import listed, sentence

_SILENT_START = timedelta(seconds=120)
"""A trainer that is never heard counts as training after this time."""
_AT_WORK = {TrainerState.TRAINING, TrainerState.EVALUATING, TrainerState.STOPPING, TrainerState.FINISHING}


def headline(turn: Turn) -> Headline:
    """The state of a gang of which nobody is ending."""
    alive = turn.gang.alive
    if trouble := next((found for pod in alive if (found := _trouble(turn, pod))), None):
        return trouble
    if any(pod.node is None for pod in alive):
        text = f"{_pods(len(turn.gang.members))} for the scheduler."
        return Headline(phase=Phase.PENDING, reason="Scheduling", message=text)
    if _trains(turn):
        return _training(turn)
    doing = turn.word.state.value if turn.word else "starting"
    text = f"Attempt {turn.status.attempt} is {doing} on {_nodes(turn.gang)}."
    return Headline(phase=Phase.STARTING, reason="Starting", message=text)


def _pods(count: int) -> str:
    return "1 pod waits" if count == 1 else f"{count} pods wait"


def _nodes(gang: Gang) -> str:
    nodes = sorted({pod.node for pod in gang.members if pod.node})
    return listed(nodes) if nodes else "its nodes"


def _trains(turn: Turn) -> bool:
    """Whether it trains; loss of progress takes nothing back."""
    old, word = turn.seen.job.status, turn.word
    if any(pod.phase is not PodPhase.RUNNING for pod in turn.gang.alive):
        return False
    if old.phase is Phase.RUNNING and old.attempt == turn.status.attempt:
        return True
    if word is not None:
        return word.state in _AT_WORK
    starts = [pod.started_at for pod in turn.gang.alive if pod.started_at]
    return bool(starts) and turn.seen.now - max(starts) >= _SILENT_START


def _training(turn: Turn) -> Headline:
    status, resume = turn.status, turn.status.resume
    lost = resume.lost_steps if resume else 0
    text = f"Attempt {status.attempt} trains from step {resume.from_step if resume else 0}"
    text += f"; {lost} {'step is' if lost == 1 else 'steps are'} done again." if lost else "."
    generation = turn.seen.job.metadata.generation
    if status.attempt_generation != generation:
        text += f" The edit of generation {generation} takes effect at the next attempt."
    return Headline(phase=Phase.RUNNING, reason="Training", message=text)


def _trouble(turn: Turn, pod: Pod) -> Headline | None:
    if pod.is_unreachable:
        text = f"{pod.node} does not answer; training may go on there. Nothing is restarted before the pod is gone."
        return Headline(phase=Phase.RUNNING, reason="NodeUnreachable", message=text, is_warning=True, is_certain=False)
    if pod.unschedulable is not None:
        saved = turn.status.checkpoint
        then = f"goes on from step {saved.step}" if saved else "starts"
        text = (
            f"No node takes the pod now: {_without_preemption(pod.unschedulable)} "
            f"The job {then} when one has room; see spec.compute if none is large enough."
        )
        return Headline(phase=Phase.PENDING, reason="Unschedulable", message=text, is_warning=True)
    return _stuck(turn, pod.waiting) if pod.waiting else None


def _without_preemption(text: str) -> str:
    """The scheduler's sentence without the one in which it says that preempting others would not help either."""
    return sentence(re.split(r"[,.]? (?:no new claims to deallocate, )?preemption: ", text, maxsplit=1)[0])


def _stuck(turn: Turn, waiting: Reason) -> Headline | None:
    match waiting.reason:
        case "CreateContainerConfigError":
            reason, text = _misconfigured(turn, waiting.message)
        case "CreateContainerError" | "RunContainerError":
            reason, text = "ContainerNotCreated", f"The container cannot be created: {sentence(waiting.message)}"
        case "ErrImagePull":
            advice = "The kubelet tries again; check spec.image and podTemplate.imagePullSecrets."
            text = f"The trainer's image cannot be pulled yet: {sentence(waiting.message)} {advice}"
            reason = "ImagePullFailed"
        case _:
            return None
    return Headline(phase=Phase.STARTING, reason=reason, message=text, is_warning=True)


def _misconfigured(turn: Turn, message: str) -> tuple[str, str]:
    """The kubelet tries again by itself: the job goes on as soon as the Secret is right."""
    if found := re.search(r'^secret "(?P<name>[^"]+)" not found', message):
        return "SecretNotFound", _no_secret(turn.seen.job, found["name"])
    if found := re.search(r"couldn't find key (?P<key>\S+) in Secret (?P<name>\S+)", message):
        key, name = found["key"], found["name"].rsplit("/", maxsplit=1)[-1]
        return (
            "SecretKeyNotFound",
            f'The Secret "{name}" has no key {key}. Add the key, or name another in secretRef.key.',
        )
    return "ContainerMisconfigured", f"The container cannot be configured: {sentence(message)}"


def _no_secret(job: FineTuneJob, name: str) -> str:
    spec, namespace = job.spec, job.metadata.namespace
    ours = [ref.key for ref in (spec.wandb.secret_ref, spec.hub.secret_ref) if ref is not None and ref.name == name]
    keys = " ".join(f"--from-literal={key}=..." for key in dict.fromkeys(ours) or ("KEY",))
    create = f"kubectl create secret generic {name} --namespace {namespace} {keys}"
    return (
        f'There is no Secret "{name}" in namespace {namespace}. The job goes on by itself once you create it: {create}'
    )
