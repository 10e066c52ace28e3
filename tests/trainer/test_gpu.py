"""What a GPU must not change: in half precision, under an adapter and under ZeRO a job goes on exactly.

What no other test does runs on processors too, so that on a machine with a GPU only the device is new.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import language
from tests.trainer.resume_fixtures import changed, from_nothing
from tests.trainer.running import Job, result

DEVICES = (
    pytest.param("processor", marks=pytest.mark.training),
    pytest.param("gpu", marks=(pytest.mark.training, pytest.mark.gpu)),
)
HALF: Mapping[str, Any] = {"bf16": True, "max_steps": 40, "eval_steps": 20, "dataloader_num_workers": 0}
ONLY_DETERMINISTIC = {"full_determinism": True}


@pytest.fixture(params=DEVICES)
def here(request: pytest.FixtureRequest, config: dict[str, Any], tmp_path: Path) -> Iterator[Job]:
    """A job on the device, without W&B.

    A process that has met a GPU cannot be forked, so ranks there start from nothing.
    """
    if request.param == "gpu":
        need(1)
        socket = from_nothing(tmp_path)
    else:
        socket = request.getfixturevalue("socket")
    one = Job(folder=tmp_path / "disturbed", config=config, socket=socket)
    yield one
    if one.last is not None and one.last.process.poll() is None:
        one.last.kill()


def need(devices: int) -> None:
    """Skip where there are fewer GPUs."""
    if torch.cuda.device_count() < devices:
        pytest.skip(f"needs a CUDA device (here: {torch.cuda.device_count()}, needed: {devices})")


def of(job: Job, folder: str, **blocks: Any) -> Job:
    """The job with other blocks, in a folder of its own."""
    return Job(folder=job.folder / folder, config=changed(dict(job.config), **blocks), socket=job.socket)


def test_half_precision_goes_on_exactly(here: Job) -> None:
    disturbed = language.disturbed_both_ways(of(here, "disturbed", training=HALF), 3, 20)

    assert result(disturbed) == result(of(here, "plain", training=HALF).finish())


def test_an_adapter_on_packed_conversations_goes_on_exactly(here: Job, tmp_path: Path) -> None:
    short = {"tokenizer": {"packing": True, "maxLength": 64}, "data": {"learnedTurns": "all"}}
    blocks = language.blocks(language.furnished(tmp_path), "talks", **short)
    blocks["model"] |= {"dtype": "bfloat16"}
    blocks |= {"peft": {"method": "lora", "dropout": 0.1}}
    blocks |= {"training": {**HALF, **ONLY_DETERMINISTIC, "gradient_checkpointing": True}}

    disturbed = language.disturbed_both_ways(of(here, "disturbed", **blocks), 3, 20)

    assert result(disturbed) == result(of(here, "plain", **blocks).finish())


@pytest.mark.parametrize("here", DEVICES[1:], indirect=True)
def test_zero_in_half_precision_goes_on_exactly(here: Job) -> None:
    blocks = {"training": HALF, "distributed": {"deepspeed": {"zeroStage": 2}}}

    disturbed = of(here, "disturbed", **blocks).disturbed((20,), "SIGKILL")

    assert (result(disturbed), disturbed.progress and disturbed.progress.strategy) == (
        result(of(here, "plain", **blocks).finish()),
        "zero-2 x 1",
    )


@pytest.mark.parametrize("here", DEVICES[1:], indirect=True)
@pytest.mark.parametrize(
    "distributed", [{}, {"deepspeed": {"zeroStage": 3}}, {"fsdp": {}}], ids=["DDP", "ZeRO-3", "FSDP2"]
)
def test_two_gpus_go_on_exactly(here: Job, distributed: dict[str, Any]) -> None:
    need(2)
    blocks = {"training": HALF, "distributed": distributed, "compute": {"processesPerNode": 2}}

    disturbed = language.disturbed_both_ways(of(here, "disturbed", **blocks), 3, 20)

    assert result(disturbed) == result(of(here, "plain", **blocks).finish())


def test_a_checkpoint_holds_the_random_state_of_every_device(here: Job) -> None:
    one = of(here, "stopped", training=HALF)
    running = one.attempt()
    running.reach(3)
    running.stop()
    running.end()

    state = torch.load(one.checkpoints()[0] / "rng_state.pth", weights_only=False)

    on_gpu = {"cuda"} if torch.cuda.is_available() else set()
    assert set(state) == {"python", "numpy", "cpu"} | on_gpu
