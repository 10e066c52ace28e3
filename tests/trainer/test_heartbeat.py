"""A rank's sign of life, also while it does what has no steps."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from finetune_trainer.config import plan
from finetune_trainer.contract.outcome import OutcomeKind
from finetune_trainer.distributed.gather import gang
from finetune_trainer.pod.progress import END_PATIENCE, Heartbeat, ProgressBoard, last_beats
from finetune_trainer.pod.surroundings import Surroundings, surroundings
from finetune_trainer.tracked import ProgressCallback

from tests.trainer import tiny
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job

pytestmark = pytest.mark.training

LONG = 600.0
OWN = """
import threading
from pathlib import Path
from transformers import TrainerCallback

def goes_on_by_itself():
    return any(thread.name == "heartbeat" for thread in threading.enumerate())

BEFORE = goes_on_by_itself()

class Watching(TrainerCallback):
    def __init__(self, told):
        self.told = Path(told)

    def on_train_end(self, *_args, **_kwargs):
        self.told.write_text(f"before {BEFORE}, while it trained {goes_on_by_itself()}")
"""


@pytest.fixture
def here(tmp_path: Path) -> Surroundings:
    """A pod's surroundings, in a folder of the test's own."""
    found = surroundings({"FINETUNE_WORK_DIR": str(tmp_path / "work")})
    found.ranks.mkdir(parents=True)
    return found


def wait_for(seen: Callable[[], bool]) -> None:
    """Wait until something is seen."""
    deadline = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def silenced(here: Surroundings) -> None:
    """Make the last beat one of long ago."""
    os.utime(here.ranks / "0.heartbeat", (0, 0))


def has_beaten(here: Surroundings) -> bool:
    """Whether there was a beat since."""
    return last_beats(here).get("0", 0.0) > 0


@pytest.fixture
def heart(here: Surroundings) -> Iterator[Heartbeat]:
    """A heart that beats often, and has stopped when the test is over."""
    one = Heartbeat(here, 0, every=0.01)
    yield one
    one.beat()


def test_a_rank_that_restores_or_prepares_data_beats_although_it_makes_no_step(
    here: Surroundings, heart: Heartbeat
) -> None:
    heart.go_on(LONG)
    wait_for(lambda: has_beaten(here))
    silenced(here)

    wait_for(lambda: has_beaten(here))


def goes_on_by_itself() -> bool:
    """Whether anything beats beside the steps."""
    return any(thread.name == "heartbeat" for thread in threading.enumerate())


def test_work_without_steps_that_never_ends_falls_silent(heart: Heartbeat) -> None:
    heart.go_on(0.1)

    wait_for(lambda: not goes_on_by_itself())


def test_from_the_first_step_on_a_rank_beats_by_its_steps_alone(here: Surroundings, heart: Heartbeat) -> None:
    trainer: Any = SimpleNamespace(guard=SimpleNamespace(stepped=heart.beat))
    heart.go_on(LONG)
    ProgressCallback(ProgressBoard(here, writes=False), trainer, 0.0).on_step_begin()

    wait_for(lambda: not goes_on_by_itself())


def test_a_job_beats_by_itself_until_its_first_step(job: Job, tmp_path: Path) -> None:
    (tmp_path / "watching_code.py").write_text(OWN)
    one = {"use": "watching_code:Watching", "arguments": {"told": str(tmp_path / "told")}}
    own = {"pythonPath": [str(tmp_path)], "callbacks": [one]}
    word = replace(job, config=changed(dict(job.config), extensions=own, training={"max_steps": 3})).attempt().outcome()

    assert (word.kind, (tmp_path / "told").read_text()) == (
        OutcomeKind.FINISHED,
        "before True, while it trained False",
    )


@pytest.mark.parametrize(("said", "expected"), [({}, 4 * 3600), ({"ddp_timeout": 60}, 60)])
def test_ranks_wait_for_hours_while_the_first_prepares_the_data(said: dict[str, Any], expected: int) -> None:
    assert plan(tiny.config(training=said), 2).arguments["ddp_timeout"] == expected


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of this process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'ranks'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_ranks_wait_for_what_the_first_publishes_longer_than_for_a_step() -> None:
    args = SimpleNamespace(process_index=0, local_process_index=0, world_size=2, ddp_timeout=60)

    backend = gang(args).group._get_backend(torch.device("cpu"))

    assert backend.options._timeout == timedelta(seconds=END_PATIENCE)
