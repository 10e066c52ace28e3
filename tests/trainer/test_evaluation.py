"""What is measured beside the loss: exact over restarts, and without a trace in the training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetune_trainer.config import plan
from finetune_trainer.contract.outcome import OutcomeKind
from finetune_trainer.evaluation import MOST_CLASSES, by_class
from finetune_trainer.measuring.showing import Answers

from tests.trainer import tiny
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result, rows, weights

pytestmark = pytest.mark.training


PLATEAU = {"lr_scheduler_type": "reduce_lr_on_plateau"}


def test_what_follows_the_evaluations_remembers_bad_ones_over_restarts(job: Job) -> None:
    wont_do = {"patience": 1, "threshold": 9.0, "threshold_mode": "abs", "factor": 0.5}
    training = {**PLATEAU, "lr_scheduler_kwargs": wont_do, "logging_steps": 1, "metric_for_best_model": "f1"}
    patience = {"earlyStopping": {"patience": 3, "threshold": 9.0}}
    wanted = changed(dict(job.config), training=training, evaluation=patience)
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    again = replace(job, config=wanted, folder=job.folder / "again").disturbed((9,), "SIGTERM")

    rates = {row["step"]: row["learning_rate"] for row in rows(plain) if "learning_rate" in row}
    assert result(again) == result(plain)
    assert (max(rates), [rates[step] for step in (12, 13, 16)]) == (16, [1e-3, 5e-4, 5e-4])


@pytest.mark.parametrize(
    ("evaluation", "training", "best"),
    [
        ({"earlyStopping": {}}, {}, ("loss", False)),
        ({}, {"metric_for_best_model": "perplexity"}, ("perplexity", False)),
        ({}, {"metric_for_best_model": "f1"}, ("f1", None)),
        ({}, {"metric_for_best_model": "eval_mse", "greater_is_better": True}, ("eval_mse", True)),
    ],
)
def test_a_better_model_is_told_by_the_right_end_of_its_metric(
    evaluation: dict[str, Any], training: dict[str, Any], best: tuple[str, bool | None]
) -> None:
    said = plan(tiny.config(evaluation=evaluation, training=training), 1).arguments

    assert (said["metric_for_best_model"], said.get("greater_is_better", best[1])) == best


@pytest.mark.parametrize(
    ("training", "mode"),
    [
        ({**PLATEAU, "metric_for_best_model": "accuracy"}, "max"),
        ({**PLATEAU, "metric_for_best_model": "accuracy", "lr_scheduler_kwargs": {"mode": "min"}}, "min"),
        ({**PLATEAU, "metric_for_best_model": "perplexity"}, None),
        ({**PLATEAU}, None),
        ({"metric_for_best_model": "accuracy"}, None),
    ],
)
def test_a_rate_follows_its_metric_to_the_right_end(training: dict[str, Any], mode: str | None) -> None:
    said = plan(tiny.config(training={"eval_strategy": "epoch", **training}), 1).arguments

    assert said.get("lr_scheduler_kwargs", {}).get("mode") == mode


def test_a_metric_that_no_evaluation_has_ends_the_job_at_the_first_one(job: Job) -> None:
    own = {"metrics": [{"use": "numpy:array_equal"}]}
    training = {**PLATEAU, "metric_for_best_model": "brier", "max_steps": 6, "eval_steps": 2}
    word = replace(job, config=changed(dict(job.config), extensions=own, training=training)).attempt().outcome()

    assert (word.kind, word.reason) == (OutcomeKind.CONFIGURATION, "MetricUnknown")
    assert word.message.startswith("training.metric_for_best_model: brier was not measured. There are: loss, accuracy,")
    assert word.message.endswith("array_equal. Choose one.")


def test_further_splits_and_the_test_split_are_measured_the_same_after_a_kill(job: Job, tmp_path: Path) -> None:
    data = Path(str(job.config["dataset"]["uri"]).removeprefix("file://"))
    (tmp_path / "data").mkdir()
    for split, source in (("train", "train"), ("validation", "validation"), ("test", "validation")):
        (tmp_path / "data" / f"{split}.jsonl").write_text((data / f"{source}.jsonl").read_text())
    splits = {"test": "test[:5]", "further": [{"name": "seen", "split": "train[:6]"}]}
    dataset = {**job.config["dataset"], "uri": f"file://{tmp_path / 'data'}", "splits": splits}
    wanted = changed(dict(job.config), dataset=dataset)
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    bare = replace(job, folder=job.folder / "bare").finish()
    again = replace(job, config=wanted, folder=job.folder / "again").disturbed((14,), "SIGKILL")

    written = (plain.work / "output" / "final" / "test_predictions.jsonl").read_text()
    told = [json.loads(line) for line in written.splitlines()]
    measured = rows(plain)[-1]
    right = sum(one["label"] == one["prediction"] for one in told) / len(told)
    assert (len(told), {*told[0]}, measured["test_accuracy"]) == (5, {"row", "label", "prediction"}, right)
    assert [row["step"] for row in rows(plain) if "eval_seen_accuracy" in row] == [4, 8, 12, 16, 20, 24]
    assert (result(again), weights(bare)) == (result(plain), weights(plain))
    assert (again.work / "output" / "final" / "test_predictions.jsonl").read_text() == written


def test_every_class_is_measured_where_they_are_few() -> None:
    told = np.array([0, 0, 1, 1, 1])
    right = np.array([0, 1, 1, 1, 0])
    answers = Answers(of=lambda _: (told, right), names=("no", "yes, please"))

    assert by_class(answers, None) == {
        "precision_no": 0.5,
        "recall_no": 0.5,
        "f1_no": 0.5,
        "precision_yes_please": 2 / 3,
        "recall_yes_please": 2 / 3,
        "f1_yes_please": 2 / 3,
    }


def test_many_classes_are_measured_as_a_whole() -> None:
    names = tuple(f"class {number}" for number in range(MOST_CLASSES + 1))

    assert by_class(Answers(of=lambda _: (np.zeros(1, int), np.zeros(1, int)), names=names), None) == {}
