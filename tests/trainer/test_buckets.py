"""Models and data out of buckets, and models into them, over the real protocols of both kinds of store."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_sandbox import buckets as stores
from finetune_sandbox.binaries import BinaryUnavailable, binary
from finetune_sandbox.buckets import Buckets
from finetune_trainer import sources
from finetune_trainer.buckets import DELIVERY, folder
from finetune_trainer.contract.run_config import CheckpointPolicy, RunConfig
from finetune_trainer.errors import ConfigurationError, RetryLater, TrainerError
from finetune_trainer.outputs import bucket
from finetune_trainer.outputs.output import Final
from finetune_trainer.pod.ports import free_port
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.sources import fetched

from tests.trainer import tiny
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result, weights

pytestmark = [pytest.mark.training, pytest.mark.timeout(1200)]  # The first run of all builds both servers.

BUCKET = "lab"
SHORT = {"max_steps": 12, "eval_steps": 6, "dataloader_num_workers": 0}
KINDS = {"s3": stores.s3, "gs": stores.gcs}
S3_ALONE = pytest.mark.parametrize("served", ["s3"], indirect=True)
"""What the other kind would say for half a minute, or not at all."""


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    try:
        for program in ("versitygw", "fake-gcs-server"):
            binary(program)
    except BinaryUnavailable as missing:
        pytest.skip(str(missing))
    with KINDS[request.param](tmp_path_factory.mktemp(request.param), BUCKET, "models", "reviews") as running:
        yield running


@pytest.fixture
def store(served: Buckets, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Buckets]:
    """A store that this process can reach, and a scratch of the test's own."""
    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FINETUNE_WORK_DIR", str(tmp_path / "work"))
    fetched._scratch.cache_clear()
    yield served
    fetched._scratch.cache_clear()


def put(store: Buckets, name: str, source: Path) -> str:
    """A file, or the files of a folder, as objects; `name` begins with the bucket."""
    uri = f"{store.scheme}://{name}"
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    for path in files:
        place = folder(uri.rpartition("/")[0] if source.is_file() else uri, "a test")
        place.write(name.rpartition("/")[2] if source.is_file() else path.relative_to(source).as_posix(), path)
    return uri


def rows(uri: str, cache: Path, split: str = "train", **source: Any) -> list[dict[str, Any]]:
    """What is read of a data set."""
    wanted = tiny.config(dataset=uri, data=source).dataset
    builder = sources.builder(wanted, cache)
    builder.download_and_prepare()
    return list(builder.as_dataset(split=split))


def test_the_files_below_a_prefix_are_read_as_those_of_a_folder(store: Buckets, tmp_path: Path) -> None:
    (tmp_path / "data" / "deeper").mkdir(parents=True)
    tiny.jsonl_file(tmp_path / "data" / "train.jsonl")
    tiny.jsonl_file(tmp_path / "data" / "deeper" / "validation.jsonl", tiny.ROWS[:4])
    uri = put(store, f"{BUCKET}/folder", tmp_path / "data")

    assert [rows(uri, tmp_path / "cache", split) for split in ("train", "validation")] == [
        [*tiny.ROWS],
        [*tiny.ROWS[:4]],
    ]


def test_a_uri_may_name_a_single_object(store: Buckets, tmp_path: Path) -> None:
    tiny.csv_file(tmp_path / "rows.csv")
    uri = put(store, f"{BUCKET}/single/rows.csv", tmp_path / "rows.csv")

    assert [row["text"] for row in rows(uri, tmp_path / "cache")] == [row["text"] for row in tiny.ROWS]


def test_a_model_comes_without_what_only_a_training_reads(store: Buckets, tmp_path: Path) -> None:
    for name in (
        "model.safetensors",
        "pytorch_model.bin",
        "optimizer.pt",
        "checkpoint-3/model.safetensors",
        "a/b.json",
    ):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text(name)
    uri = put(store, f"{BUCKET}/model", tmp_path / "model")

    read = sources.folder(uri, None, what="model")

    names = [path.relative_to(read).as_posix() for path in sorted(read.rglob("*")) if path.is_file()]
    assert names == ["a/b.json", "model.safetensors"]


@pytest.mark.parametrize(("path", "reason"), [("absent/x", "BucketNotFound"), (f"{BUCKET}/no/x", "DatasetNotFound")])
def test_what_is_not_there_is_said_with_its_field(path: str, reason: str, store: Buckets, tmp_path: Path) -> None:
    problem = refusal(f"{store.scheme}://{path}", tmp_path)

    assert (problem.reason, problem.kind, "dataset.uri" in problem.message) == (reason, "configuration", True)


@S3_ALONE
@pytest.mark.usefixtures("store")
def test_wrong_credentials_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    problem = refusal(f"s3://{BUCKET}/rows.csv", tmp_path)

    assert (problem.reason, "podTemplate.env" in problem.message) == ("BucketDenied", True)


def test_a_key_of_google_that_is_not_mounted_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    problem = refusal("gs://bucket/rows.csv", tmp_path)

    assert (problem.reason, "key.json" in problem.message) == ("BucketDenied", True)


@S3_ALONE
@pytest.mark.usefixtures("store")
def test_a_store_that_does_not_answer_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    problem = refusal(f"s3://{BUCKET}/rows.csv", tmp_path)

    assert (problem.reason, problem.kind) == ("BucketUnreachable", "retry")


def test_objects_that_changed_since_the_job_began_are_refused_unless_that_is_allowed(
    store: Buckets, tmp_path: Path
) -> None:
    tiny.csv_file(tmp_path / "rows.csv")
    job = tiny.config(dataset=put(store, f"{BUCKET}/changing/rows.csv", tmp_path / "rows.csv"))
    begun = sources.versions(job, {})
    tiny.csv_file(tmp_path / "rows.csv", tiny.ROWS[::-1])
    put(store, f"{BUCKET}/changing/rows.csv", tmp_path / "rows.csv")
    fetched._scratch.cache_clear()  # Another attempt has an empty pod.
    os.environ["FINETUNE_WORK_DIR"] = str(tmp_path / "second")

    allowing = job.model_copy(update={"checkpoint": CheckpointPolicy(allow_change=True)})
    with pytest.raises(ConfigurationError, match=r"rows\.csv at 20") as refused:
        sources.builder(sources.settled(job, sources.versions(job, begun)).dataset, tmp_path / "cache")
    sources.builder(sources.settled(allowing, sources.versions(allowing, begun)).dataset, tmp_path / "cache")

    assert refused.value.reason == "SourceChanged"


def test_a_delivered_model_is_read_only_when_it_is_whole(store: Buckets, tmp_path: Path) -> None:
    final = model(tmp_path / "final", "weights")
    uri = f"{store.scheme}://{BUCKET}/delivered"
    deliver(final, uri)
    read = sources.folder(uri, None, what="model")
    folder(uri, "a test").write("model.safetensors", b"other weights")
    fetched._scratch.cache_clear()
    os.environ["FINETUNE_WORK_DIR"] = str(tmp_path / "second")

    with pytest.raises(RetryLater, match="not whole"):
        sources.folder(uri, None, what="model")
    assert (read / "model.safetensors").read_text() == "weights"


def test_a_delivery_replaces_the_model_before_and_the_same_one_changes_nothing(store: Buckets, tmp_path: Path) -> None:
    uri = f"{store.scheme}://{BUCKET}/replaced"
    deliver(model(tmp_path / "first", "old", "shard-2.safetensors"), uri)
    deliver(model(tmp_path / "second", "new"), uri)
    before = folder(uri, "a test").objects()
    deliver(model(tmp_path / "second", "new"), uri)

    said, *there = folder(uri, "a test").objects()
    assert (said.name, there, [one.name for one in there]) == (DELIVERY, [*before[1:]], ["model.safetensors"])


def test_a_delivery_leaves_a_strangers_files_alone(store: Buckets, tmp_path: Path) -> None:
    tiny.csv_file(tmp_path / "rows.csv")
    taken = put(store, f"{BUCKET}/taken/rows.csv", tmp_path / "rows.csv").rpartition("/")[0]
    jobs = {"OutputFolderTaken": delivering(taken), "OutputIsSource": delivering(taken, model=f"{taken}/model")}

    for reason, job in jobs.items():
        with pytest.raises(ConfigurationError) as refused:
            bucket.check(job, surroundings({}))
        assert refused.value.reason == reason


def test_a_bucket_that_cannot_be_written_to_is_refused_before_training(store: Buckets) -> None:
    with pytest.raises(ConfigurationError) as refused:
        bucket.check(delivering(f"{store.scheme}://absent/model"), surroundings({}))

    assert (refused.value.reason, "output.uri" in refused.value.message) == ("BucketNotFound", True)


def model(place: Path, weights: str, *further: str) -> Path:
    """A final model, and what is not a part of it."""
    place.mkdir(exist_ok=True)
    for name in ("model.safetensors", "training_args.bin", *further):
        (place / name).write_text(weights)
    return place


def delivering(uri: str, **blocks: Any) -> RunConfig:
    return tiny.config(**blocks, output={"uri": uri})


def deliver(final: Path, uri: str) -> None:
    job = delivering(uri)
    bucket.check(job, surroundings({}))
    bucket.deliver(Final(folder=final, config=job, here=surroundings({})))


def refusal(uri: str, tmp_path: Path) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        rows(uri, tmp_path / "cache")
    return raised.value


@S3_ALONE
def test_the_example_is_exact_after_a_kill_and_delivers_its_model(job: Job, store: Buckets, material: Path) -> None:
    spec = yaml.safe_load((Path(__file__).parents[2] / "examples" / "buckets.yaml").read_text())["spec"]
    put(store, spec["model"]["uri"].removeprefix("s3://"), material / "model")
    put(store, spec["dataset"]["uri"].removeprefix("s3://"), material / "data")
    places = {name: spec[name] for name in ("model", "dataset", "output")}
    plain = replace(job, folder=job.folder / "plain", config=changed(dict(job.config), training=SHORT)).finish()

    one = replace(job, config=changed(dict(job.config), **places, training=SHORT), env=store.environment)
    last = one.disturbed((9,), "SIGKILL")

    delivered = folder(spec["output"]["uri"], "a test").delivery()
    hashed = delivered.files["model.safetensors"] if delivered and delivered.complete else None
    assert (result(last), hashed) == (result(plain), weights(last))
