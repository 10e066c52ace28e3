"""Loss, gradient norm and evaluation do not depend on how a step is shared out."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.contract.run_config import RunConfig

from tests.trainer import further, language, preparing, tiny

pytestmark = pytest.mark.training

Rows = list[dict[str, float]]
TASKS = ("text-classification", "text-generation")
ALL_TASKS = (*TASKS, *further.TASKS)
SHARED_OUT: dict[str, dict[str, Any]] = {
    "ddp": {},
    "accumulated": {"globalBatchSize": 8, "batch": 2},
    "zero-1": {"distributed": {"deepspeed": {"zeroStage": 1}}},
    "zero-2": {"distributed": {"deepspeed": {"zeroStage": 2}}},
    "zero-2-accumulated": {"distributed": {"deepspeed": {"zeroStage": 2}}, "globalBatchSize": 8, "batch": 2},
    "zero-3": {"distributed": {"deepspeed": {"zeroStage": 3}}},
    "zero-3-accumulated": {"distributed": {"deepspeed": {"zeroStage": 3}}, "globalBatchSize": 8, "batch": 2},
}
"""Ways in which two ranks share eight examples."""
UNEVEN = {f"{rows} rows {way}": (rows, SHARED_OUT[way]) for rows in (9, 15) for way in ("ddp", "zero-2-accumulated")}
"""Epochs of two steps, of which the second is one that two ranks cannot share evenly."""

IN_FOUR_BITS: dict[str, Any] = {"peft": {"method": "qlora", "r": 4}}
ZERO_3 = SHARED_OUT["zero-3"]
TWO_MODULES = {"targetModules": ["q_proj", "v_proj"]}
"""Every matrix that is shared out has its price."""
IN_PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a DoRA in packed texts": (
        "texts",
        {"tokenizer": {"maxLength": 64, "packing": True}, "peft": {"method": "dora", **TWO_MODULES}},
    ),
    "preferences": ("pairs", {}),
    "preferences of a LoRA": ("pairs", {"peft": {"method": "lora", **TWO_MODULES}}),
}
"""What two ranks learn that share a model out."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with models, data and results."""
    folder = tmp_path_factory.mktemp("ranks")
    tiny.bert(folder / "text-classification")
    tiny.gpt2(folder / "text-generation")
    tiny.jsonl_file(folder / "rows.jsonl")
    language.furnished(folder)
    return folder


def job(
    place: Path,
    task: str,
    batch: int,
    rows: int | None = None,
    steps: tuple[int, int] = (2, 1),
    **blocks: Any,
) -> RunConfig:
    """A few steps of eight examples, from so many rows, and an evaluation of 21 in batches that do not fit.

    `steps`: how many, and how many make a row of the log.
    """
    training = {
        "max_steps": steps[0],
        "per_device_train_batch_size": batch,
        "per_device_eval_batch_size": 5,
        "logging_steps": steps[1],
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "no",
        "learning_rate": 1e-3,
    }
    if task in IN_PARTS:
        what, own = IN_PARTS[task]
        return preparing.whole(language.blocks(place, what, **own), training=training, **blocks)
    if task in further.TASKS:
        (place / task).mkdir(exist_ok=True)
        return preparing.whole(further.blocks(place / task, task, dropout=False), training=training, **blocks)
    return tiny.config(
        f"file://{place / task}",
        f"file://{place / 'rows.jsonl'}",
        task=task,
        training=training,
        data={"splits": {"evaluation": "train[:21]"}, "maxSamples": {"train": rows}},
        **blocks,
    )


@pytest.fixture(scope="module")
def alone(place: Path) -> dict[str, Rows]:
    """What one process logs that takes the eight examples of a step at once."""
    from tests.trainer.learn import logged

    jobs = {what: job(place, what, 8) for what in (*ALL_TASKS, *IN_PARTS)}
    jobs |= {f"{rows} rows": job(place, TASKS[0], 8, rows) for rows, _ in UNEVEN.values()}
    jobs["three steps"] = job(place, TASKS[0], 8, steps=(3, 1))
    jobs["in four bits"] = job(place, TASKS[0], 8, **IN_FOUR_BITS)
    return {name: logged(one, place) for name, one in jobs.items()}


@pytest.fixture(scope="module")
def in_two(place: Path, socket: Path) -> dict[str, tuple[Rows, str]]:
    """What rank 0 of two logs and what wraps its model, for each task and way of sharing."""
    jobs = {f"{task} {way}": shared(place, task, blocks) for task in TASKS for way, blocks in SHARED_OUT.items()}
    jobs |= {name: shared(place, TASKS[0], blocks, rows) for name, (rows, blocks) in UNEVEN.items()}
    jobs["rows of two steps"] = job(place, TASKS[0], 4, steps=(3, 2))
    jobs |= {
        f"in four bits {way}": job(place, TASKS[0], 4, **SHARED_OUT[way], **IN_FOUR_BITS) for way in ("ddp", "zero-2")
    }
    jobs |= {f"{task} ddp": job(place, task, 4) for task in further.TASKS}
    jobs |= {what: job(place, what, 4, **ZERO_3) for what in IN_PARTS}
    cases = {name: one.model_dump(mode="json", exclude_unset=True) for name, one in jobs.items()}
    (place / "cases.json").write_text(json.dumps(cases))
    ranks = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.trainer.learn", str(place))
    python = f"{socket}.python"
    ended = subprocess.run(
        (python, "-m", *ranks),
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": python},
        cwd=Path(__file__).parents[2],
        text=True,
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert (place / "logged.json").exists(), ended.stderr[-4000:]
    found: dict[str, tuple[Rows, str]] = json.loads((place / "logged.json").read_text())
    return found


def shared(place: Path, task: str, way: Mapping[str, Any], rows: int | None = None) -> RunConfig:
    """The job of one of two ranks, which share the eight examples of a step."""
    blocks = dict(way)
    return job(place, task, blocks.pop("batch", 4), rows, **blocks)


@pytest.mark.parametrize("task", ALL_TASKS)
def test_four_accumulated_passes_are_one_pass_of_four_times_the_examples(
    task: str, alone: dict[str, Rows], place: Path
) -> None:
    from tests.trainer.learn import logged

    accumulated = logged(job(place, task, 2, globalBatchSize=8), place)

    assert accumulated == [pytest.approx(row, rel=1e-4) for row in alone[task]]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("way", SHARED_OUT)
def test_two_ranks_log_what_one_process_logs(
    task: str, way: str, alone: dict[str, Rows], in_two: dict[str, tuple[Rows, str]]
) -> None:
    assert in_two[f"{task} {way}"][0] == [pytest.approx(row, rel=1e-4) for row in alone[task]]


@pytest.mark.parametrize("name", UNEVEN)
def test_rows_that_two_ranks_share_unevenly_count_once_each(
    name: str, alone: dict[str, Rows], in_two: dict[str, tuple[Rows, str]]
) -> None:
    assert in_two[name][0] == [pytest.approx(row, rel=1e-4) for row in alone[f"{UNEVEN[name][0]} rows"]]


def test_the_summary_counts_what_all_ranks_learned_since_the_last_row(
    alone: dict[str, Rows], in_two: dict[str, tuple[Rows, str]]
) -> None:
    assert in_two["rows of two steps"][0][-1] == pytest.approx(alone["three steps"][-1], rel=1e-4)
    assert set(alone["three steps"][-1]) == {"step", "train_loss"}


@pytest.mark.parametrize("way", ["ddp", "zero-2"])
def test_an_adapter_on_four_bits_learns_the_same_in_two_ranks(
    way: str, alone: dict[str, Rows], in_two: dict[str, tuple[Rows, str]]
) -> None:
    assert in_two[f"in four bits {way}"][0] == [pytest.approx(row, rel=1e-4) for row in alone["in four bits"]]


@pytest.mark.parametrize("what", IN_PARTS)
def test_two_ranks_that_share_a_model_out_log_what_one_process_logs(
    what: str, alone: dict[str, Rows], in_two: dict[str, tuple[Rows, str]]
) -> None:
    assert in_two[what][0] == [pytest.approx(row, rel=1e-4) for row in alone[what]]


@pytest.mark.parametrize("task", further.TASKS)
def test_two_ranks_of_a_further_task_log_what_one_process_logs(
    task: str, alone: dict[str, Rows], in_two: dict[str, tuple[Rows, str]]
) -> None:
    assert in_two[f"{task} ddp"][0] == [pytest.approx(row, rel=1e-4) for row in alone[task]]


@pytest.mark.parametrize(
    ("way", "wrapper"),
    [
        ("ddp", "DistributedDataParallel"),
        ("zero-1", "DeepSpeedEngine 1"),
        ("zero-2", "DeepSpeedEngine 2"),
        ("zero-3", "DeepSpeedEngine 3"),
    ],
)
def test_the_strategy_asked_for_is_the_one_in_effect(
    way: str, wrapper: str, in_two: dict[str, tuple[Rows, str]]
) -> None:
    assert {in_two[f"{task} {way}"][1] for task in TASKS} == {wrapper}


@pytest.mark.parametrize("task", TASKS)
def test_a_step_and_an_evaluation_log_all_that_is_compared(task: str, alone: dict[str, Rows]) -> None:
    metrics = {"eval_accuracy", "eval_f1"} if task == "text-classification" else {"eval_perplexity"}

    assert [set(row) - {"step"} for row in alone[task][1:3]] == [{"loss", "grad_norm"}, {"eval_loss", *metrics}]
