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
from tests.trainer.running import Job, Running, result

pytestmark = pytest.mark.training

DEVICES = (
    "processor",
    pytest.param("gpu", marks=pytest.mark.gpu),
)
STEPS, KILLED = (40, 20) if torch.cuda.is_available() else (10, 8)
"""A GPU takes its steps faster than it can be asked to stop after a few of them."""
HALF: Mapping[str, Any] = {"bf16": True, "max_steps": STEPS, "eval_steps": STEPS // 2, "dataloader_num_workers": 0}
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


def disturbed(job: Job) -> Running:
    """The end of the job after a kill; on a GPU it was asked to stop before that.

    A request may come too late to be heard; then the first attempt is the last one.
    """
    if torch.cuda.is_available():
        first = job.attempt()
        first.reach(3)
        first.stop()
        first.end()
        if first.has_finished():
            return first
        job.reported = first.progress or job.reported
    return job.disturbed((KILLED,), "SIGKILL")


def test_half_precision_goes_on_exactly_with_the_random_state_of_every_device(here: Job) -> None:
    one = of(here, "disturbed", training=HALF)

    assert result(disturbed(one)) == result(of(here, "plain", training=HALF).finish())
    state = torch.load(one.checkpoints()[0] / "rng_state.pth", weights_only=False)
    on_gpu = {"cuda"} if torch.cuda.is_available() else set()
    assert set(state) == {"python", "numpy", "cpu"} | on_gpu


def test_an_adapter_on_packed_conversations_goes_on_exactly(here: Job, tmp_path: Path) -> None:
    short = {"tokenizer": {"packing": True, "maxLength": 64}, "data": {"learnedTurns": "all"}}
    blocks = language.blocks(language.furnished(tmp_path), "talks", **short)
    blocks["model"] |= {"dtype": "bfloat16"}
    blocks |= {"peft": {"method": "lora", "dropout": 0.1}}
    blocks |= {"training": {**HALF, **ONLY_DETERMINISTIC, "gradient_checkpointing": True}}

    assert result(disturbed(of(here, "disturbed", **blocks))) == result(of(here, "plain", **blocks).finish())


@pytest.mark.parametrize("here", DEVICES[1:], indirect=True)
def test_zero_in_half_precision_goes_on_exactly(here: Job) -> None:
    blocks = {"training": HALF, "distributed": {"deepspeed": {"zeroStage": 2}}}

    killed = of(here, "disturbed", **blocks).disturbed((KILLED,), "SIGKILL")

    assert (result(killed), killed.progress and killed.progress.strategy) == (
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

    assert result(disturbed(of(here, "disturbed", **blocks))) == result(of(here, "plain", **blocks).finish())
