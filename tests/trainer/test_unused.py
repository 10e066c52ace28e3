"""What a job does not use is not imported, and not missed."""

import re
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.process.unused import unused

from tests.trainer import language, tiny
from tests.trainer.resume_fixtures import changed, from_nothing
from tests.trainer.running import Job, result

OWN = {"callbacks": [{"use": "mine:Callback"}]}
IN_8_BITS = {"optim": "paged_adamw_8bit"}


@pytest.mark.parametrize(
    ("blocks", "left_out"),
    [
        ({}, {"deepspeed", "peft", "bitsandbytes"}),
        ({"peft": {"method": "qlora"}}, {"deepspeed"}),
        ({"distributed": {"deepspeed": {"zeroStage": 2}}}, {"peft", "bitsandbytes"}),
        ({"training": IN_8_BITS}, {"deepspeed", "peft"}),
        ({"extensions": OWN}, set()),
        ({"model": {"uri": "hf://mine/own", "trustRemoteCode": True}}, set()),
    ],
)
def test_a_job_leaves_out_what_neither_it_nor_an_author_uses(blocks: dict[str, Any], left_out: set[str]) -> None:
    base = tiny.config().model_dump(by_alias=True, exclude_unset=True)

    assert {*unused(type(tiny.config()).model_validate({**base, **blocks}))} == left_out


@pytest.mark.training
def test_a_job_finishes_in_a_process_that_imports_no_more_than_it_uses_as_one_that_was_forked(
    config: dict[str, Any], tmp_path: Path, socket: Path
) -> None:
    (tmp_path / "language").mkdir()
    place, short = language.furnished(tmp_path / "language"), {"max_steps": 2, "eval_steps": 2}
    wanted = changed(config, training=short, **language.blocks(place, "pairs"))
    job = Job(folder=tmp_path / "job", config=wanted, socket=from_nothing(tmp_path))

    running = job.attempt(PYTHONPROFILEIMPORTTIME="1")
    reason = running.outcome().reason
    forked = Job(folder=tmp_path / "forked", config=wanted, socket=socket).finish()

    imported = {*re.findall(r"^import time:.*\| +(\w+)$", (running.work / "log").read_text(), re.MULTILINE)}
    seen = {"transformers", "accelerate", "trl", "deepspeed", "peft", "bitsandbytes"} & imported
    assert (reason, seen) == ("Finished", {"transformers", "accelerate", "trl"})
    assert result(running) == result(forked)
