"""Adapters, packed texts and preferences where processes share a model out: as exact, and published whole."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer import language
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, Running, published, result, rows
from tests.trainer.test_distributed import IN_ONE_POD, NO_DROPOUT, OWN

pytestmark = pytest.mark.training

STRATEGIES: Mapping[str, Any] = {"zero-3 x 2": {"deepspeed": {"config": OWN}}, "fsdp2 x 2": {"fsdp": {}}}
BEST: Mapping[str, Any] = {
    "max_steps": 5,
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "load_best_model_at_end": True,
    "dataloader_num_workers": 0,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with model and data."""
    return language.furnished(tmp_path_factory.mktemp("language"))


def shared_out(job: Job, strategy: str, blocks: Mapping[str, Any]) -> Job:
    """The job in two processes that share its model out."""
    wanted = changed(dict(job.config), **IN_ONE_POD, **{"training": BEST, "checkpoint": {"everySteps": 2}, **blocks})
    return replace(job, config={**wanted, "distributed": STRATEGIES[strategy]})


PACKED = {"tokenizer": {"maxLength": 64, "packing": True}}
MERGED = {"output": {"merged": True}}
EXACT: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "a merged DoRA in packed texts": (
        "zero-3 x 2",
        "texts",
        {**PACKED, **MERGED, "peft": {"method": "dora", "dropout": 0.1, "targetModules": ["q_proj", "v_proj"]}},
    ),
    "preferences of a merged DoRA in half precision": (
        "fsdp2 x 2",
        "pairs",
        {"half": True, **MERGED, "peft": {"method": "dora", "dropout": 0.1}},
    ),
    "preferences of a whole model": ("fsdp2 x 2", "pairs", {}),
}


@pytest.mark.parametrize("what", EXACT)
def test_what_is_learned_in_parts_resumes_exactly(what: str, job: Job, place: Path) -> None:
    strategy, data, more = EXACT[what]
    blocks = language.blocks(place, data, **{name: block for name, block in more.items() if name != "half"})
    blocks["model"]["dtype"] = "bfloat16" if "half" in more else "float32"
    one = shared_out(job, strategy, blocks)
    plain = replace(one, folder=job.folder / "plain").finish()
    disturbed = one.disturbed((3,), "SIGKILL")

    assert (result(disturbed), disturbed.progress and disturbed.progress.strategy) == (result(plain), strategy)


@pytest.fixture(scope="module")
def without_chance(config: dict[str, Any]) -> dict[str, Any]:
    """The blocks of an adapter with a head that learns from eight examples a step and draws nothing."""
    return {
        "model": {**config["model"], "config": NO_DROPOUT},
        "peft": {"method": "dora", "r": 4},
        "globalBatchSize": 8,
        "training": {**BEST, "gradient_accumulation_steps": None, "learning_rate": 1e-2},
    }


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], socket: Path, without_chance: dict[str, Any]
) -> Running:
    """One process that learns it."""
    folder = tmp_path_factory.mktemp("alone")
    return Job(folder=folder, config=changed(config, **without_chance), socket=socket).finish()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_adapter_in_parts_learns_and_is_published_as_one_of_a_single_process(
    strategy: str, job: Job, alone: Running, without_chance: dict[str, Any]
) -> None:
    running = shared_out(job, strategy, without_chance).finish()

    assert rows(running) == [pytest.approx(row, rel=1e-4) for row in rows(alone)]
    torch.testing.assert_close(load_file(published(running)), load_file(published(alone)), rtol=1e-3, atol=1e-5)
