"""The plan of a job: what transformers is told."""

from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.config import plan
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.pod.run_file import load

from tests.trainer import tiny


def refusal(world_size: int = 1, **blocks: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        plan(tiny.config(**blocks), world_size)
    return raised.value


def test_accumulation_follows_from_the_global_batch_and_the_world() -> None:
    job = tiny.config(globalBatchSize=32, training={"per_device_train_batch_size": 4})

    steps = [plan(job, world).arguments["gradient_accumulation_steps"] for world in (1, 2, 4, 8)]

    assert steps == [8, 4, 2, 1]


def test_the_examples_of_a_step_stay_the_same_over_worlds() -> None:
    job = tiny.config(globalBatchSize=32, training={"per_device_train_batch_size": 4})

    assert {plan(job, world).examples_per_step for world in (1, 2, 4, 8)} == {32}


@pytest.mark.parametrize("total", [10, 4])
def test_a_global_batch_that_does_not_divide_is_refused(total: int) -> None:
    problem = refusal(2, globalBatchSize=total, training={"per_device_train_batch_size": 4})

    assert problem.message == (
        f"globalBatchSize {total} is not a multiple of per_device_train_batch_size 4 times 2 processes. Choose a "
        "multiple of 8, or another per_device_train_batch_size."
    )


def test_accumulation_that_contradicts_the_global_batch_is_refused() -> None:
    problem = refusal(globalBatchSize=16, training={"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3})

    assert problem.reason == "GlobalBatchSizeContradicted"


def test_what_the_user_says_of_saving_and_evaluating_is_passed_on() -> None:
    wanted = {"save_strategy": "epoch", "eval_strategy": "epoch", "load_best_model_at_end": True, "save_total_limit": 3}

    assert wanted.items() <= plan(tiny.config(training=wanted), 1).arguments.items()


def test_nothing_is_reported_but_by_us() -> None:
    assert plan(tiny.config(), 1).arguments["report_to"] == []


@pytest.mark.parametrize("stage", [1, 2])
def test_zero_compiles_no_optimizer(stage: int) -> None:
    arguments = plan(tiny.config(distributed={"deepspeed": {"zeroStage": stage}}), 2).arguments

    assert (arguments["optim"], "optimizer" in arguments["deepspeed"]) == ("adamw_torch", False)


def test_a_deepspeed_configuration_of_the_user_keeps_its_words() -> None:
    zero = {"stage": 3, "reduce_bucket_size": 7}
    own = {"zero_optimization": zero, "gradient_clipping": 0.5, "train_batch_size": 16}
    job = tiny.config(distributed={"deepspeed": {"config": own}}, training={"max_grad_norm": 0.5})

    given = plan(job, 2).arguments["deepspeed"]

    assert given["zero_optimization"] == {**zero, "stage3_gather_16bit_weights_on_model_save": True}


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        pytest.param({"gradient_clipping": 0.5}, "is 0.5, and training.max_grad_norm comes to 1.0", id="clipping"),
        pytest.param({"train_batch_size": 16}, "is 16, and globalBatchSize comes to 8", id="batch"),
        pytest.param({"bf16": {"enabled": True}}, "training.bf16 comes to False", id="precision"),
        pytest.param({"bf16": True}, "bf16 is not a section", id="no section"),
        pytest.param({"optimizer": {"type": "Adam"}}, "Choose it with training.optim", id="optimizer"),
        pytest.param({"elasticity": {}}, "has not been shown to resume exactly", id="unknown section"),
        pytest.param({"zero_optimization": {"stage": 0}}, "use distributed.ddp", id="stage"),
        pytest.param({"zero_optimization": {"stage": 2, "offload_optimizer": {}}}, "Leave it out", id="offload"),
        pytest.param(
            {"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": False}},
            "could not be published",
            id="a model in pieces",
        ),
    ],
)
def test_what_of_a_deepspeed_configuration_cannot_be_is_refused_with_its_place(
    own: dict[str, Any], sentence: str
) -> None:
    whole = {"zero_optimization": {"stage": 2}, **own}

    problem = refusal(distributed={"deepspeed": {"config": whole}})

    assert (sentence in problem.message, problem.message.startswith("distributed.deepspeed.config.")) == (True, True)


@pytest.mark.parametrize("own", [{"cpu_offload": True}, {"version": 1}, {"state_dict_type": "SHARDED_STATE_DICT"}])
def test_what_of_an_fsdp_configuration_cannot_be_is_refused_with_its_place(own: dict[str, Any]) -> None:
    problem = refusal(2, distributed={"fsdp": {"config": own}})

    assert problem.message.startswith(f"distributed.fsdp.config.{next(iter(own))} ")


def test_fsdp_is_the_second_version_with_a_whole_model() -> None:
    arguments = plan(tiny.config(distributed={"fsdp": {"config": {"fsdp_reshard_after_forward": False}}}), 2).arguments

    assert (arguments["fsdp"], arguments["fsdp_config"]) == (
        True,
        {"reshard_after_forward": False, "version": 2, "state_dict_type": "FULL_STATE_DICT"},
    )


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ({"distributed": {"fsdp": {}}}, "FsdpAlone"),
        ({"distributed": {"fsdp": {}}, "peft": {"method": "qlora"}}, "Unsupported"),
        ({"training": {"torch_compile_mode": "default"}}, "Unsupported"),
        ({"distributed": {"deepspeed": {}}}, "DeepSpeedUnsaid"),
        ({"distributed": {"deepspeed": {"zeroStage": 1, "config": {"a": 1}}}}, "DeepSpeedContradicted"),
    ],
)
def test_what_cannot_be_done_is_refused(blocks: dict[str, Any], reason: str) -> None:
    assert refusal(**blocks).reason == reason


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("{", "The configuration: Invalid JSON"),
        ("{}", "job is missing: add it. runId is missing: add it."),
        ('{"taks": 1}', "taks is not a field: remove it or correct its name."),
        ('{"training": {"warmup_ratio": 0.1}}', "training: warmup_ratio is refused. Use warmup_steps: below 1"),
        ('{"training": {"learning_rat": 0.1}}', "training.learning_rat is not a field"),
        ('{"training": {"learning_rate": "fast"}}', "training.learning_rate: Input should be a valid number"),
    ],
)
def test_a_bad_file_is_answered_in_sentences(written: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(written)

    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path / "run.json")

    assert (raised.value.reason, sentence in raised.value.message) == ("ConfigInvalid", True), raised.value.message


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"run\.json"):
        load(tmp_path / "run.json")


def test_a_written_configuration_is_read_back(tmp_path: Path) -> None:
    job = tiny.config(training={"learning_rate": 1e-3})
    (tmp_path / "run.json").write_text(job.model_dump_json(exclude_unset=True))

    assert load(tmp_path / "run.json") == job


@pytest.mark.training
def test_what_transformers_refuses_is_a_configuration_error(tmp_path: Path) -> None:
    from finetune_trainer.config import training_arguments

    wanted = plan(tiny.config(training={"load_best_model_at_end": True, "eval_strategy": "no"}), 1)

    with pytest.raises(ConfigurationError) as raised:
        training_arguments(wanted, tmp_path)

    assert raised.value.reason == "TrainingArgumentsRefused"
