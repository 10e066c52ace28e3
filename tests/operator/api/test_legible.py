"""What a newer version of us or of the trainer has written, read by this one."""

import json
from typing import Any

import pytest
from finetune_operator.api.legible import legible, legible_json
from finetune_operator.api.status import FineTuneJobStatus
from finetune_trainer.contract.outcome import Outcome, OutcomeKind
from pydantic import ValidationError

NOON = "2026-01-01T12:00:00Z"
CHECKPOINT = {"step": 5, "digest": "d", "sizeBytes": 1, "committedAt": NOON}
RUN = {"id": "r"}
CONDITION = {"type": "Ready", "status": "True", "reason": "Training", "lastTransitionTime": NOON}
ATTEMPT = {"attempt": 1, "cause": "Preempted", "reason": "Vanished"}
STATUS: dict[str, Any] = {
    "phase": "Running",
    "attempt": 2,
    "conditions": [CONDITION],
    "restarts": {"preemptions": 1},
    "progress": {"step": 7, "observedAt": NOON},
    "checkpoint": CHECKPOINT,
    "resume": {"fromStep": 5},
    "run": RUN,
    "lastAttempts": [ATTEMPT],
}
OUTCOME: dict[str, Any] = {
    "kind": "finished",
    "reason": "Finished",
    "message": "Training finished at step 7.",
    "attempt": 2,
    "token": "t",
    "endedAt": NOON,
    "progress": {
        "attempt": 2,
        "token": "t",
        "step": 7,
        "observedAt": NOON,
        "checkpoint": CHECKPOINT,
        "resume": {"fromStep": 5},
        "run": RUN,
    },
}


def of_a_newer_version(value: Any) -> Any:
    """The same with one more field on every level."""
    if isinstance(value, list):
        return [of_a_newer_version(each) for each in value]
    if isinstance(value, dict):
        return {name: of_a_newer_version(each) for name, each in value.items()} | {"newField": {"a": 1}}
    return value


def test_a_status_with_a_new_field_on_every_level_says_what_it_said() -> None:
    read = FineTuneJobStatus.model_validate(of_a_newer_version(STATUS))
    assert read == FineTuneJobStatus.model_validate(STATUS)


def test_an_outcome_with_a_new_field_on_every_level_says_what_it_said() -> None:
    read = Outcome.model_validate_json(json.dumps(of_a_newer_version(OUTCOME)))
    assert read == Outcome.model_validate(OUTCOME)


@pytest.mark.parametrize(
    ("new", "lost"),
    [
        pytest.param({"phase": "Queued"}, {"phase": None}, id="a phase"),
        pytest.param({"conditions": [CONDITION | {"type": "Admitted"}, CONDITION]}, {}, id="a condition"),
        pytest.param({"lastAttempts": [ATTEMPT | {"cause": "Moved"}, ATTEMPT]}, {}, id="a cause"),
        pytest.param({"run": {"name": "r"}}, {"run": None}, id="a run without its id"),
    ],
)
def test_a_new_word_in_the_status_costs_only_its_own_entry(new: dict[str, Any], lost: dict[str, Any]) -> None:
    assert legible(FineTuneJobStatus, STATUS | new) == legible(FineTuneJobStatus, STATUS | lost)


def test_a_new_word_in_the_progress_leaves_the_outcome() -> None:
    said = OUTCOME | {"progress": OUTCOME["progress"] | {"state": "compiling"}}
    assert legible_json(Outcome, json.dumps(said)) == Outcome.model_validate(OUTCOME)


@pytest.mark.parametrize("text", ["", "Killed", "[]", "{}", json.dumps(OUTCOME | {"kind": OutcomeKind.FAILED + "!"})])
def test_what_lacks_a_needed_word_is_not_an_outcome(text: str) -> None:
    with pytest.raises(ValidationError):
        legible_json(Outcome, text)
