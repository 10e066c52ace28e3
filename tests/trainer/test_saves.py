"""Which of transformers' own saves a job makes, and how many a pod keeps."""

from pathlib import Path
from typing import Any

import pytest
from finetune_trainer import saves
from finetune_trainer.config import plan, training_arguments

from tests.trainer import tiny


@pytest.mark.parametrize(
    ("blocks", "env"),
    [
        pytest.param({"training": {"save_steps": 10}}, {}, id="asked for"),
        pytest.param({"training": {"eval_strategy": "steps", "load_best_model_at_end": True}}, {}, id="the best model"),
        pytest.param({"wandb": {"logModel": "checkpoint"}}, {}, id="sent to W&B"),
        pytest.param({}, {"WANDB_LOG_MODEL": "checkpoint"}, id="sent to W&B by the variable"),
        pytest.param({"extensions": {"callbacks": [{"use": "mine:Callback"}]}}, {}, id="the author's callback"),
    ],
)
def test_saves_are_read_by_whoever_asks_for_them(blocks: dict[str, Any], env: dict[str, str]) -> None:
    assert saves.are_read(tiny.config(**blocks), env)


@pytest.mark.parametrize("blocks", [{}, {"training": {"save_strategy": None, "max_steps": 9}}])
def test_nobody_reads_the_saves_of_a_job_that_says_nothing_of_them(blocks: dict[str, Any]) -> None:
    assert not saves.are_read(tiny.config(**blocks), {"WANDB_LOG_MODEL": "end"})


@pytest.mark.training
@pytest.mark.parametrize(
    ("said", "are_read", "settled"),
    [
        pytest.param({}, False, ("no", 2), id="nobody reads them"),
        pytest.param({}, True, ("steps", 2), id="something reads them"),
        pytest.param({"save_strategy": "epoch", "save_total_limit": 7}, True, ("epoch", 7), id="as the job says"),
    ],
)
def test_a_pod_holds_few_saves_and_none_that_nobody_reads(
    said: dict[str, Any], are_read: bool, settled: tuple[str, int], tmp_path: Path
) -> None:
    args = training_arguments(plan(tiny.config(training=said), 1), tmp_path)
    saves.settle(args, are_read=are_read)

    assert (args.save_strategy.value, args.save_total_limit) == settled
