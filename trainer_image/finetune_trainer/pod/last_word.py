"""How an outcome is written: by each rank for its supervisor, by each supervisor for the operator."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from finetune_trainer.contract.environment import MAX_TERMINATION_BYTES
from finetune_trainer.contract.outcome import ExitCode, Outcome, OutcomeKind, Progress
from finetune_trainer.files import write_whole
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.redaction import redacted

EXIT_CODES = {
    OutcomeKind.FINISHED: ExitCode.FINISHED,
    OutcomeKind.PREEMPTED: ExitCode.PREEMPTED,
    OutcomeKind.RETRY: ExitCode.RETRY,
    OutcomeKind.CONFIGURATION: ExitCode.CONFIGURATION,
    OutcomeKind.FAILED: ExitCode.FAILED,
    OutcomeKind.HUNG: ExitCode.HUNG,
    OutcomeKind.PEER_LOST: ExitCode.FAILED,
}
SHORTENED = " [...]"


def outcome(kind: OutcomeKind, reason: str, message: str, here: Surroundings) -> Outcome:
    """An outcome of this attempt, now."""
    return Outcome(
        kind=kind,
        reason=reason,
        message=redacted(message),
        attempt=here.attempt,
        token=here.token,
        ended_at=datetime.now(UTC),
    )


def leave(word: Outcome, here: Surroundings, rank: int) -> None:
    """Leave a rank's outcome for its supervisor; the first word stands."""
    path = here.ranks / f"{rank}.outcome.json"
    if not path.exists():
        write_whole(path, word.model_dump_json())


def left_behind(here: Surroundings) -> tuple[Outcome, ...]:
    """The outcomes that this node's ranks have left, the causes before their consequences."""
    words = (Outcome.model_validate_json(path.read_text()) for path in here.ranks.glob("*.outcome.json"))
    return tuple(sorted(words, key=consequence_then_time))


def consequence_then_time(word: Outcome) -> tuple[bool, bool, datetime]:
    """Sorts a lost peer behind its cause, success behind any failure, and else by time."""
    return word.kind is OutcomeKind.PEER_LOST, word.kind is OutcomeKind.FINISHED, word.ended_at


def worst(words: Iterable[Outcome]) -> Outcome | None:
    """The outcome that tells how a node ended: the earliest that is a cause."""
    return min(words, key=consequence_then_time, default=None)


def termination_message(word: Outcome, progress: Progress | None) -> str:
    """The JSON of an outcome, cut to the size that Kubernetes keeps."""
    whole = word.model_copy(update={"progress": progress, "message": redacted(word.message)})
    for limit in (2000, 800, 200):
        text = whole.model_dump_json(exclude_none=True)
        if len(text.encode()) <= MAX_TERMINATION_BYTES:
            return text
        whole = whole.model_copy(
            update={"message": shortened(whole.message, limit), "progress": brief(whole.progress, limit)}
        )
    return whole.model_copy(update={"progress": None}).model_dump_json(exclude_none=True)


def brief(progress: Progress | None, limit: int) -> Progress | None:
    """The same progress with shorter sentences."""
    if progress is None:
        return None
    sentences = {"tracking_degraded", "not_durable", "grace_too_short"}
    shorter = {name: shortened(getattr(progress, name) or "", limit // 2) or None for name in sentences}
    resume = progress.resume
    if resume is not None:
        resume = resume.model_copy(
            update={"passed_over": tuple(shortened(text, limit // 4) for text in resume.passed_over[:4])}
        )
    return progress.model_copy(update={**shorter, "resume": resume})


def shortened(text: str, limit: int) -> str:
    """The beginning of a text, at most so many bytes, marked where it was cut."""
    if len(text.encode()) <= limit:
        return text
    return text.encode()[: limit - len(SHORTENED)].decode(errors="ignore") + SHORTENED


def write_termination(word: Outcome, progress: Progress | None, path: Path) -> None:
    """Write the outcome to the termination log; it may be a file that cannot be replaced, only written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(termination_message(word, progress))
