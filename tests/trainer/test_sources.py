"""Models and data out of W&B artifacts: lineage is on record, and a version that was begun with is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_sandbox.wandb_server.embedded import WandbServer
from finetune_trainer import sources
from finetune_trainer.contract.outcome import OutcomeKind
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.pod.ports import free_port

from tests.sandbox.wandb_sdk import Sdk
from tests.trainer import tiny
from tests.trainer.resume_fixtures import tracked
from tests.trainer.running import Job, result

pytestmark = pytest.mark.training

SHORT = {"max_steps": 12, "eval_steps": 6, "dataloader_num_workers": 0}


EXAMPLE = yaml.safe_load(
    (Path(__file__).parents[2] / "examples" / "from-artifact.yaml").read_text().replace("my-team", "sandbox")
)["spec"]
PROJECT = EXAMPLE["wandb"]["project"]


def log(server: WandbServer, scratch: Path, folder: Path, *artifacts: str) -> None:
    """Make a folder the newest version of some artifacts, each `project/name`."""
    said = {"FOLDER": str(folder), "ARTIFACTS": " ".join(artifacts)}
    Sdk({**server.environment(), **said}, scratch).run("""
        for project, name in (each.split("/") for each in os.environ["ARTIFACTS"].split()):
            with wandb.init(project=project) as run:
                artifact = wandb.Artifact(name, "dataset")
                artifact.add_dir(os.environ["FOLDER"])
                run.log_artifact(artifact).wait()
    """)


@pytest.fixture(scope="module")
def reviews(server: WandbServer, material: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The data as an artifact of the tests and as one of the example's; the uri of the newest of the tests."""
    log(server, tmp_path_factory.mktemp("client"), material / "data", "tests/reviews", f"{PROJECT}/new-reviews")
    return "wandb://sandbox/tests/reviews:latest"


def reading(job: Job, uri: str, **blocks: Any) -> dict[str, Any]:
    """Blocks of a job whose data are at a uri."""
    return {"dataset": {**job.config["dataset"], "uri": uri}, "training": SHORT, **blocks}


def test_a_resumed_job_goes_on_with_the_version_that_it_began_with(
    job: Job, server: WandbServer, reviews: str, material: Path, tmp_path: Path
) -> None:
    plain = tracked(job, server, "first-version", **reading(job, reviews)).finish()
    disturbed = tracked(job, server, "moved", **reading(job, reviews))
    running = disturbed.attempt()
    running.reach(5)
    running.stop()
    running.end()
    other = tmp_path / "data"
    other.mkdir()
    for split in ("train", "validation"):
        (other / f"{split}.jsonl").write_text("".join((material / "data" / f"{split}.jsonl").open().readlines()[::-1]))
    log(server, tmp_path / "client", other, "tests/reviews")

    assert (result(disturbed.finish()), server.run("moved").inputs) == (result(plain), ("reviews:v0",))


@pytest.mark.usefixtures("reviews")
def test_the_example_goes_on_from_the_best_model_of_another_job(job: Job, server: WandbServer) -> None:
    best = {**SHORT, "save_strategy": "steps", "save_steps": 6, "load_best_model_at_end": True}
    tracked(job, server, "teacher", training=best, wandb={"project": PROJECT, "name": "reviews"}).finish()
    still = {**EXAMPLE["model"], "freeze": ["bert.*"]}

    blocks = {"model": still, "dataset": EXAMPLE["dataset"], "wandb": {"project": PROJECT}}
    tracked(job, server, "pupil", training=SHORT, **blocks).finish()

    encoders = [encoder(server, name) for name in ("teacher", "pupil")]
    used = {name.partition(":")[0] for name in server.run("pupil").inputs}
    assert (encoders[0] == encoders[1], used) == (True, {"model-teacher", "new-reviews"})


def encoder(server: WandbServer, name: str) -> dict[str, bytes]:
    """The weights below the head of a run's final model."""
    from safetensors.numpy import load_file

    tensors = load_file(server.artifacts(f"model-{name}")[-1].files["model.safetensors"])
    return {one: value.tobytes() for one, value in tensors.items() if one.startswith("bert.")}


def test_only_the_first_of_two_pods_needs_the_key(job: Job, server: WandbServer, reviews: str) -> None:
    first = tracked(job, server, "gang", **reading(job, reviews, compute={"nodes": 2}))
    second = replace(first, folder=job.folder / "second", env={})
    meeting = {"FINETUNE_RENDEZVOUS": f"127.0.0.1:{free_port()}"}

    pods = first.attempt(FINETUNE_NODE_RANK="0", **meeting), second.attempt(FINETUNE_NODE_RANK="1", **meeting)

    assert [pod.outcome().kind for pod in pods] == [OutcomeKind.FINISHED] * 2


def test_the_data_are_on_record_once_however_often_the_job_starts(job: Job, server: WandbServer) -> None:
    one = tracked(job, server, "recorded", training=SHORT, wandb={"project": "tests", "logDataset": True})
    one.disturbed((5,), "SIGKILL")

    (used,) = server.run("recorded").inputs
    (version,) = server.artifacts(used.partition(":")[0])
    assert (used.startswith("dataset-"), version.type, version.metadata["uri"]) == (
        True,
        "dataset",
        job.config["dataset"]["uri"],
    )


@pytest.mark.parametrize(
    ("env", "reason"), [({}, "ArtifactNotFound"), ({"WANDB_API_KEY": ""}, "WandbKeyMissing")], ids=["name", "key"]
)
def test_what_cannot_be_read_is_said_before_training(
    env: dict[str, str], reason: str, job: Job, server: WandbServer
) -> None:
    absent = reading(job, "wandb://sandbox/tests/nothing:latest")
    one = replace(tracked(job, server, "absent", **absent), volume=True)
    word = replace(one, env={**one.env, **env}).attempt().outcome()

    assert (word.kind, word.reason, "dataset.uri" in word.message) == (OutcomeKind.CONFIGURATION, reason, True)


def test_a_scheme_that_is_not_read_is_said_with_its_field() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"tokenizer\.uri: ftp://host/t cannot be read; hf://, file://, wandb://, s3://, gs:// can\.",
    ) as raised:
        sources.folder("ftp://host/t", None, what="tokenizer")
    assert raised.value.reason == "Unsupported"


def test_a_place_without_versions_is_read_as_it_is_written(tmp_path: Path) -> None:
    wanted = tiny.config("file:///model", tiny.csv_file(tmp_path / "rows.csv"))

    assert sources.settled(wanted, sources.versions(wanted, {})) == wanted


def test_a_version_that_was_kept_comes_before_todays() -> None:
    wanted = tiny.config("hf://a/b", "hf://c/d")
    known = {"hf://a/b": "1" * 40, "hf://c/d": "2" * 40}

    settled = sources.settled(wanted, sources.versions(wanted, known))

    assert (settled.model.revision, settled.dataset.revision) == ("1" * 40, "2" * 40)
