"""ZeRO's third stage, another number of ranks, and arguments that change what a step computes: all go on exactly."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.contract.outcome import OutcomeKind

from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, Running, result, rows
from tests.trainer.test_gang import Gang

pytestmark = pytest.mark.training

OWN: Mapping[str, Any] = {
    "zero_optimization": {
        "stage": 3,
        "reduce_bucket_size": "auto",
        "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto",
        "sub_group_size": 1000,
    },
    "gradient_clipping": "auto",
}
"""A configuration of the author's own, under which no parameter stays whole."""
SHARDED: Mapping[str, Any] = {
    "distributed": {"deepspeed": {"config": OWN}},
    "training": {
        "max_steps": 8,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
        "dataloader_num_workers": 0,
    },
}
IN_ONE_POD = {"compute": {"processesPerNode": 2}}


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    config: dict[str, Any],
    socket: Path,
) -> Running:
    """Two ranks under ZeRO-3 that nobody disturbs."""
    wanted = changed(config, **SHARDED, **IN_ONE_POD)
    return Job(folder=tmp_path_factory.mktemp("undisturbed"), config=wanted, socket=socket).finish()


def test_a_model_that_is_shared_out_resumes_exactly(job: Job, undisturbed: Running) -> None:
    one = replace(job, config=changed(dict(job.config), **SHARDED, **IN_ONE_POD))
    disturbed = one.disturbed((6,), "SIGKILL")

    assert (result(disturbed), disturbed.progress and disturbed.progress.strategy) == (
        result(undisturbed),
        "zero-3 x 2",
    )


def test_a_model_that_is_shared_out_over_two_pods_resumes_exactly_and_is_published_whole(
    job: Job,
    undisturbed: Running,
) -> None:
    gang = Gang(replace(job, config=changed(dict(job.config), **SHARDED)), SHARDED["training"])
    first, second = gang.attempt()
    first.reach(6)
    second.stop()
    first.end()
    second.end()
    gang.words()

    assert gang.first.last is not None
    assert result(gang.first.last) == result(undisturbed)


def test_fsdp_resumes_exactly_and_publishes_the_best_model(job: Job) -> None:
    blocks = {**SHARDED, "distributed": {"fsdp": {}}, **IN_ONE_POD}
    one = replace(job, config=changed(dict(job.config), **blocks))
    plain = replace(one, folder=job.folder / "plain").finish()
    disturbed = one.disturbed((6,), "SIGKILL")

    assert (result(disturbed), disturbed.progress and disturbed.progress.strategy) == (result(plain), "fsdp2 x 2")


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ZERO_3 = {"distributed": {"deepspeed": {"zeroStage": 3}}}


def resizable(job: Job, ranks: int, **blocks: Any) -> Job:
    """The job with eight examples a step, whatever the number of ranks."""
    training = {"max_steps": 16, "weight_decay": 0.1, "gradient_accumulation_steps": None, "dataloader_num_workers": 0}
    wanted = changed(
        dict(job.config),
        model={**job.config["model"], "config": NO_DROPOUT},
        checkpoint={"everySteps": 5, "allowChange": True},
        globalBatchSize=8,
        compute={"processesPerNode": ranks},
        training=training,
        **blocks,
    )
    return replace(job, config=wanted)


def begun(one: Job) -> None:
    """Start the job and ask it to stop after its first step."""
    running = one.attempt()
    running.reach(1)
    running.stop()
    running.end()


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], socket: Path) -> Running:
    """The same steps, all in one process that nobody stops."""
    one = Job(folder=tmp_path_factory.mktemp("one-process"), config=config, socket=socket)
    return resizable(one, 1).finish()


@pytest.mark.parametrize(
    ("before", "after", "blocks"),
    [
        pytest.param(2, 1, ZERO_3, id="ZeRO-3 from two ranks to one"),
        pytest.param(1, 2, {}, id="DDP from one rank to two"),
    ],
)
def test_another_number_of_ranks_goes_on_with_the_same_examples_and_losses(
    job: Job,
    in_one_process: Running,
    before: int,
    after: int,
    blocks: dict[str, Any],
) -> None:
    one = resizable(job, before, **blocks)
    begun(one)
    one.config = resizable(job, after, **blocks).config

    assert rows(one.finish()) == [pytest.approx(row, rel=1e-4) for row in rows(in_one_process)]


def test_a_number_of_ranks_that_leaves_one_without_a_part_is_refused_with_the_next_step(job: Job) -> None:
    few = {"peft": {"method": "lora"}, "distributed": {"deepspeed": {"zeroStage": 2}}}
    one = resizable(job, 1, **few)
    begun(one)
    one.config = resizable(job, 2, **few).config

    word = one.attempt().outcome()

    assert (word.kind, word.reason) == (OutcomeKind.CONFIGURATION, "CheckpointDoesNotFit")


ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "half precision, plain attention and an optimizer that keeps more than it": {
        "model": {"dtype": "bfloat16", "attnImplementation": "eager"},
        "training": {"optim": "adafactor", "lr_scheduler_type": "cosine", "warmup_steps": 3},
    },
    "noise, smoothing, recomputation and a rate that follows the evaluations": {
        "training": {
            "neftune_noise_alpha": 5,
            "label_smoothing_factor": 0.1,
            "gradient_checkpointing": True,
            "lr_scheduler_type": "reduce_lr_on_plateau",
            "metric_for_best_model": "loss",
        }
    },
}


@pytest.mark.parametrize("blocks", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_what_changes_the_arithmetic_resumes_exactly(
    job: Job,
    blocks: Mapping[str, Any],
) -> None:
    model = {**job.config["model"], **blocks.get("model", {})}
    training = {"max_steps": 10, "dataloader_num_workers": 0, **blocks.get("training", {})}
    one = replace(job, config=changed(dict(job.config), model=model, training=training))
    plain = replace(one, folder=job.folder / "plain").finish()

    assert result(one.disturbed((7,), "SIGKILL")) == result(plain)
