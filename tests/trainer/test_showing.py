"""What a table of predictions shows, and what a test split's file holds, task by task."""

import json
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer import predicting
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.measuring import showing
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.work import Work, arguments, work

from tests.trainer import further, language, tiny
from tests.trainer.guards import unguarded

pytestmark = pytest.mark.training

TEXT = ("input", "label", "prediction")
COLUMNS: dict[str, tuple[str, ...]] = {
    "fill-mask": TEXT,
    "summarization": TEXT,
    "multiple-choice": (*TEXT, "score"),
    "image-classification": ("label", "prediction", "score"),
    "text-generation": TEXT,
    "text-classification": (*TEXT, "score", "score LABEL_0", "score LABEL_1"),
    "conversational": TEXT,
    "preference": ("input", "chosen", "rejected", "prediction", "chosen reward", "rejected reward"),
}
SPOKEN = {"conversational": "talks", "preference": "pairs"}


def prepared(place: Path, task: str) -> Work:
    """A job of the task with a test split, before its first step."""
    if task.startswith("text-"):
        make = tiny.bert if task == "text-classification" else tiny.gpt2
        data = {"uri": tiny.jsonl_file(place / "rows.jsonl"), "splits": {"test": "train[:5]", "evaluation": "train"}}
        told: dict[str, Any] = {"task": task, "model": {"uri": make(place / "model")}, "dataset": data}
    elif task in SPOKEN:
        told = language.blocks(language.furnished(place), SPOKEN[task])
        told["dataset"]["splits"] = {"test": "validation[:5]"}
    else:
        told = further.blocks(place, task)
        told["dataset"]["splits"] = {"test": "validation[:5]"}
    training = {"eval_strategy": "epoch", "per_device_eval_batch_size": 2, "save_strategy": "no"}
    job = {"name": "tiny", "namespace": "default", "uid": "u"}
    config = RunConfig.model_validate({"job": job, "runId": "tiny", "training": training, **told})
    here = surroundings({"FINETUNE_WORK_DIR": str(place / "work")})
    todo = work(config, here, *arguments(config, here))
    todo.trainer.guard = unguarded(here.staging)
    return todo


@pytest.mark.parametrize("task", COLUMNS)
def test_a_task_shows_what_was_read_and_what_it_says(task: str, tmp_path: Path) -> None:
    todo = prepared(tmp_path, task)
    assert todo.ready.shown is not None

    parts = [
        todo.ready.shown(todo.trainer, batch) for batch in showing.batches(todo.trainer, todo.ready.eval_dataset, 3)
    ]
    told = [row for _, rows in parts for row in rows]

    assert (parts[0][0][: len(COLUMNS[task])], len(told), {len(row) for row in told}) == (
        COLUMNS[task],
        3,
        {len(parts[0][0])},
    )
    assert json.loads(json.dumps(told)) == [[*row] for row in told]


@pytest.mark.parametrize("task", ["summarization", "image-classification", "text-generation"])
def test_a_test_split_is_measured_and_told_row_by_row(task: str, tmp_path: Path) -> None:
    todo = prepared(tmp_path, task)

    predictions = predicting.predicted(todo.trainer, todo.ready)
    predicting.write(predictions, tmp_path)

    lines = [json.loads(line) for line in (tmp_path / predicting.FILE).read_text().splitlines()]
    measured = todo.trainer.state.log_history[-1]
    assert ([line["row"] for line in lines], {"label", "prediction"} <= set(lines[0])) == ([0, 1, 2, 3, 4], True)
    assert "test_loss" in measured


def test_a_conversation_is_shown_up_to_the_answer_that_the_model_is_asked_for(tmp_path: Path) -> None:
    todo = prepared(tmp_path, "conversational")
    assert todo.ready.shown is not None
    (batch,) = showing.batches(todo.trainer, todo.ready.test_dataset, 1)
    label = batch["labels"][0]

    (before, right, _) = todo.ready.shown(todo.trainer, batch)[1][0]

    assert right == todo.ready.processing_class.decode(label[label != -100], skip_special_tokens=True)
    assert before.endswith("assistant\n")


def test_a_test_split_of_preferences_tells_what_each_answer_gained(tmp_path: Path) -> None:
    todo = prepared(tmp_path, "preference")

    predictions = predicting.predicted(todo.trainer, todo.ready)

    assert [(line["chosen reward"], line["rejected reward"]) for line in predictions] == [(0.0, 0.0)] * 5
    assert todo.trainer.state.log_history[-1]["test_margin"] == 0.0
