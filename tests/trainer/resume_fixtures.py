"""What runs of the real trainer stand on: a forkserver, a tiny model, a few invented sentences."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_sandbox.wandb_server.embedded import WandbServer

from tests.trainer.running import Job

FORKSERVER = Path(__file__).parent / "forkserver.py"
STAND_IN = Path(__file__).parent / "stand_in.py"
STARTUP = 240.0


@contextmanager
def forkservers(folder: Path, **environment: str) -> Iterator[Path]:
    """The socket of a forkserver for ranks while the block lasts, and beside it one for supervisors.

    What the ranks' libraries read as they are imported is given here.
    """
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "DS_ACCELERATOR": "cpu"}
    servers = {}
    for kind, variables in (("ranks", {**threads, **environment}), ("supervisors", {})):
        arguments = (sys.executable, str(FORKSERVER), str(folder / kind), kind)
        servers[folder / kind] = subprocess.Popen(arguments, env={**os.environ, **variables})
        write_python(folder / kind, f"{sys.executable} -S -E {STAND_IN} {folder / kind}")
    deadline = time.monotonic() + STARTUP
    while not all(path.exists() for path in servers):
        assert all(server.poll() is None for server in servers.values()), "a forkserver ended"
        assert time.monotonic() < deadline, "the forkservers did not come up"
        time.sleep(0.1)
    yield folder / "ranks"
    for path, server in servers.items():
        path.unlink()
        server.wait(30)


def from_nothing(folder: Path) -> Path:
    """In place of a forkserver's socket: beside it stands python itself, as in a pod."""
    write_python(folder / "ranks", sys.executable)
    write_python(folder / "supervisors", sys.executable)
    return folder / "ranks"


def write_python(socket: Path, command: str) -> None:
    """What stands in for the interpreter, beside a socket."""
    python = Path(f"{socket}.python")
    python.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    python.chmod(0o755)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory, socket: Path) -> Path:
    """A folder with a tiny BERT, its tokenizer and a data set of invented sentences."""
    folder = tmp_path_factory.mktemp("material")
    command = (f"{socket}.python", "-m", "tests.trainer.tiny_model", str(folder / "model"))
    subprocess.run(command, check=True, capture_output=True)
    dice = random.Random(1)  # noqa: S311 - Sentences, not secrets.
    (folder / "data").mkdir()
    for split, count in (("train", 40), ("validation", 8)):
        lines = (
            {"text": " ".join(f"w{dice.randrange(60)}" for _ in range(dice.randrange(4, 12))), "label": label}
            for label in dice.choices(("no", "yes"), k=count)
        )
        (folder / "data" / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="session")
def config(material: Path) -> dict[str, Any]:
    """A job with dropout, accumulation, evaluations, and logs that do not fall on its checkpoints."""
    return {
        "job": {"name": "tiny", "namespace": "default", "uid": "11111111-2222-3333-4444-555555555555"},
        "runId": "11111111222233334444555555555555",
        "task": "text-classification",
        "model": {"uri": f"file://{material / 'model'}"},
        "dataset": {"uri": f"file://{material / 'data'}", "columns": {"text": ["text"], "label": "label"}},
        "training": {
            "max_steps": 24,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "logging_steps": 3,
            "eval_strategy": "steps",
            "eval_steps": 4,
            "save_strategy": "no",
            "learning_rate": 1e-3,
            "dataloader_num_workers": 0,
        },
        "checkpoint": {"everySteps": 5},
        "wandb": {"mode": "disabled"},
        "gracePeriodSeconds": 60,
    }


def changed(config: dict[str, Any], **blocks: Any) -> dict[str, Any]:
    """The job with some blocks replaced, and fields of `training` merged."""
    training = {**config["training"], **blocks.pop("training", {})}
    return {**config, **blocks, "training": training}


@pytest.fixture
def job(tmp_path: Path, config: dict[str, Any], socket: Path) -> Iterator[Job]:
    """A job with a checkpoint volume and without W&B."""
    one = Job(folder=tmp_path / "disturbed", config=config, socket=socket)
    yield one
    if one.last is not None and one.last.process.poll() is None:
        one.last.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbServer]:
    """A W&B server."""
    with WandbServer(tmp_path_factory.mktemp("wandb")) as running:
        yield running


def tracked(job: Job, server: WandbServer, name: str, **blocks: Any) -> Job:
    """The job with a run of its own on the server."""
    identity = {"name": name, "namespace": "default", "uid": name}
    wanted = changed(dict(job.config), **{"wandb": {"project": "tests"}, **blocks}, job=identity, runId=name)
    return replace(job, config=wanted, folder=job.folder / name, env=server.environment(), volume=False)
