"""The termination message: small enough, without secrets, and of the right rank."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from finetune_trainer.contract.environment import MAX_TERMINATION_BYTES
from finetune_trainer.contract.outcome import Outcome, OutcomeKind, Progress, Resume
from finetune_trainer.pod import last_word
from finetune_trainer.pod.surroundings import surroundings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def word(kind: OutcomeKind, second: int = 0, message: str = "A sentence.") -> Outcome:
    """An outcome at a second after noon."""
    ended = NOON + timedelta(seconds=second)
    return Outcome(kind=kind, reason="Reason", message=message, attempt=1, token="t", ended_at=ended)


@pytest.mark.parametrize("sign", ["x", "ü", "\N{CROCODILE}", '"'])
def test_a_long_story_fits_into_the_termination_message(sign: str) -> None:
    long = sign * 9000
    resume = Resume(from_step=5, passed_over=(long,) * 9)
    progress = Progress(attempt=1, token="t", observed_at=NOON, resume=resume, not_durable=long, tracking_degraded=long)
    text = last_word.termination_message(word(OutcomeKind.FAILED, message=long), progress)

    assert (len(text.encode()) <= MAX_TERMINATION_BYTES, Outcome.model_validate_json(text).kind) == (
        True,
        OutcomeKind.FAILED,
    )


def test_a_short_story_is_told_whole() -> None:
    progress = Progress(attempt=1, token="t", observed_at=NOON, step=7)
    said = Outcome.model_validate_json(last_word.termination_message(word(OutcomeKind.FINISHED), progress))

    assert said == word(OutcomeKind.FINISHED).model_copy(update={"progress": progress})


@pytest.mark.parametrize(
    ("kinds", "cause"),
    [
        ((OutcomeKind.PEER_LOST, OutcomeKind.FAILED), OutcomeKind.FAILED),
        ((OutcomeKind.FINISHED, OutcomeKind.PREEMPTED), OutcomeKind.PREEMPTED),
        ((OutcomeKind.CONFIGURATION, OutcomeKind.FAILED), OutcomeKind.CONFIGURATION),
    ],
)
def test_the_earliest_cause_is_the_nodes_word(kinds: tuple[OutcomeKind, ...], cause: OutcomeKind) -> None:
    found = last_word.worst(word(kind, second) for second, kind in enumerate(kinds))

    assert found is not None
    assert found.kind is cause


def test_a_ranks_first_word_stands(tmp_path: Path) -> None:
    here = surroundings({"FINETUNE_WORK_DIR": str(tmp_path)})
    for kind in (OutcomeKind.PREEMPTED, OutcomeKind.FAILED):
        last_word.leave(word(kind), here, 0)

    assert [one.kind for one in last_word.left_behind(here)] == [OutcomeKind.PREEMPTED]
