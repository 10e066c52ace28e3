"""The trainer's side of W&B, with the real SDK in a process of its own."""

import os
from pathlib import Path

import pytest
from finetune_sandbox.wandb_server import Effect, Fault, WandbServer

from tests.sandbox.wandb_sdk import Sdk, eventually, fresh_server

__all__ = ["fresh_server"]

ROOT = Path(__file__).parents[2]
PLACES = (ROOT / "operator", ROOT / "trainer_image", ROOT)

PRELUDE = """
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.recovery.artifact_store import ArtifactStore
from finetune_trainer.recovery.stores import StillUploading, StoreUnreachable
from finetune_trainer.tracking.history import History
from finetune_trainer.tracking.models_out import ModelsOut
from finetune_trainer.tracking.run import Tracking
from tests.trainer.made import draft, sealed
from tests.trainer.tiny import config

tracking = Tracking(config(), surroundings({"FINETUNE_WORK_DIR": os.environ["SCRATCH"]}), History(), restored=False)
tracking.open({})
store = ArtifactStore(tracking.wishes, "tiny", lambda: tracking)
folder = Path(os.environ["SCRATCH"]) / "checkpoint"

def published(step, patience=60.0):
    place = folder / str(step)
    whole = made[step] if step in made else made.setdefault(step, sealed(place, draft(step)))
    return store.publish(place, *whole, patience)

made = {}

def log(step):
    tracking.log({"train/loss": 1.0 / step, "train/global_step": step})

def kill_the_sdks_process():
    for place in Path("/proc/self/task").glob("*/children"):
        for child in place.read_text().split():
            if "wandb-core" in Path("/proc", child, "cmdline").read_text():
                os.kill(int(child), signal.SIGKILL)
"""


@pytest.fixture
def sdk(server: WandbServer, tmp_path: Path) -> Sdk:
    """The SDK with the trainer's code beside it."""
    path = os.pathsep.join(str(place) for place in PLACES)
    return Sdk({**server.environment(), "PYTHONPATH": path, "WANDB_PROJECT": "huggingface"}, tmp_path / "client")


def test_an_upload_that_takes_long_is_waited_for_again_and_not_sent_again(server: WandbServer, sdk: Sdk) -> None:
    server.fail(Fault(effect=Effect.HOLD, match="^put deeper"))
    client = sdk.start(
        PRELUDE
        + """
waits = 0
while True:
    try:
        committed = published(5, patience=0.2)
    except StillUploading:
        waits += 1
        print(waits, flush=True)
    else:
        break
print(committed.artifact)
tracking.close(exit_code=0)
"""
    )
    assert client.stdout is not None
    assert client.stdout.readline() + client.stdout.readline() == "1\n2\n"
    server.heal()
    told, err = client.communicate(timeout=60)
    versions = [(each.version, each.state) for each in server.artifacts("checkpoint-tiny")]

    assert (told.split()[-1:], versions) == (["sandbox/huggingface/checkpoint-tiny:v0"], [(0, "COMMITTED")]), err
    assert server.requests.count("graphql CreateArtifact createArtifact") == 1


def test_the_final_model_is_uploaded_from_where_it_lies(server: WandbServer, sdk: Sdk, tmp_path: Path) -> None:
    server.fail(Fault(effect=Effect.HOLD, match="^put model.safetensors"))
    client = sdk.start(
        PRELUDE
        + """
final = Path(os.environ["SCRATCH"]) / "final"
final.mkdir()
(final / "model.safetensors").write_text("of a model")
(final / "optimizer.pt").write_text("of no model")
print(ModelsOut(tracking, config()).publish_final(final, is_best=False, patience=60.0))
tracking.close(exit_code=0)
"""
    )
    eventually(lambda: "put model.safetensors" in server.requests)
    places = [place for place in (tmp_path / "client").rglob("*") if place.is_file()]
    copies = [place for place in places if place.read_bytes() == b"of a model"]
    server.heal()
    told, err = client.communicate(timeout=60)
    committed = {name: path.read_text() for name, path in server.artifacts("model-tiny")[-1].files.items()}

    assert (told.split()[-1:], copies, committed) == (
        ["True"],
        [tmp_path / "client" / "final" / "model.safetensors"],
        {"model.safetensors": "of a model"},
    ), err


def test_rows_are_whole_after_the_sdks_process_was_killed_in_the_middle(server: WandbServer, sdk: Sdk) -> None:
    told = sdk.run(
        PRELUDE
        + """
first = tracking.run
for step in (1, 2, 3):
    log(step)
kill_the_sdks_process()
while tracking.run is first:
    step += 1
    log(step)
print(tracking.wait_until_open(60), tracking.degraded)
log(step + 1)
print(tracking.close(exit_code=0), step + 1)
"""
    )
    *_, opened, closed = told.splitlines()
    run = server.run("tiny")

    assert (opened, closed.split()[0], run.state) == ("True None", "True", "finished")
    assert [row["train/global_step"] for row in run.history] == [*range(1, int(closed.split()[1]) + 1)]


def test_the_next_checkpoint_arrives_after_the_sdks_process_was_killed(server: WandbServer, sdk: Sdk) -> None:
    told = sdk.run(
        PRELUDE
        + """
published(5)
kill_the_sdks_process()
try:
    published(10)
except StoreUnreachable as away:
    print(away, tracking.wait_until_open(60))
published(10)
store.prune(1)
print(tracking.close(exit_code=0))
"""
    )
    kept = [each.metadata["step"] for each in server.artifacts("checkpoint-tiny") if each.state == "COMMITTED"]

    assert (told.splitlines()[-2].endswith("True"), told.splitlines()[-1], kept) == (True, "True", [10])


def test_a_stop_after_the_sdks_process_was_killed_is_still_a_stop(sdk: Sdk) -> None:
    told = sdk.run(
        PRELUDE
        + """
kill_the_sdks_process()
try:
    while True:
        tracking.run.log({"x": 1})
except ConnectionError:
    print(tracking.close(exit_code=85, preempted=True))
"""
    )

    assert told.splitlines()[-1] == "False"


def test_a_run_that_was_never_made_is_made_under_its_id(server: WandbServer, sdk: Sdk) -> None:
    told = sdk.run(
        PRELUDE.replace("restored=False", "restored=True")
        + """
log(1)
print(tracking.run is not None, tracking.close(exit_code=0))
"""
    )

    assert (told.splitlines()[-1], len(server.run("tiny").history)) == ("True True", 1)


def test_a_job_whose_run_was_deleted_goes_on_in_another_with_all_its_rows(server: WandbServer, sdk: Sdk) -> None:
    told = sdk.run(
        PRELUDE
        + """
log(1)
tracking.close(exit_code=85, preempted=True)
wandb.Api().run("tiny").delete()

said, here = [], surroundings({"FINETUNE_WORK_DIR": os.environ["SCRATCH"]})
tracking = Tracking(config(), here, tracking.history, restored=True)
tracking.on_change = lambda degraded, run: said.append(run.id if run else degraded)
tracking.open({})
log(2)
closed = tracking.close(exit_code=0)
print(*said, closed, ArtifactStore(tracking.wishes, "tiny", lambda: tracking).has_finished())
"""
    )
    (run,) = server.runs()
    rows = [row["train/global_step"] for row in run.history]
    deleted = (
        "The W&B run of this job was deleted, and W&B gives a deleted id to nobody; all rows go to a new run, tiny-2. "
        "Training goes on."
    )

    assert told.splitlines()[-1] == f"{deleted} tiny-2 True True"
    assert (run.id, run.state, rows) == ("tiny-2", "finished", [1, 2])


def test_a_first_attempt_goes_on_with_a_run_that_is_there_already(server: WandbServer, sdk: Sdk) -> None:
    sdk.run("wandb.init(id='tiny').finish()")
    told = sdk.run(PRELUDE + "log(1)\nprint(tracking.run is not None, tracking.close(exit_code=0))")

    assert (told.splitlines()[-1], len(server.run("tiny").history)) == ("True True", 1)
