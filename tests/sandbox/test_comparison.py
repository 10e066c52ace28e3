"""What is said of two runs side by side."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from finetune_sandbox.comparison import Comparison, Result, result
from finetune_sandbox.wandb_server import Records
from finetune_sandbox.wandb_server.artifacts import Artifacts
from finetune_sandbox.wandb_server.runs import Runs
from finetune_sandbox.wandb_server.store import Store, node_id

ROW = (("train/global_step", 1), ("train/loss", 0.5))
MODEL = {"model.safetensors": "a"}


def left_by(run_id: str, weights: Mapping[str, str]) -> Result:
    """A run of one row."""
    return Result(run_id=run_id, rows=(ROW,), weights=weights)


def difference(left: Mapping[str, str], right: Mapping[str, str]) -> str | None:
    """What tells two runs of the same row apart."""
    return Comparison(left=left_by("one", left), right=left_by("two", right)).first_difference


def test_runs_of_the_same_rows_and_weights_do_not_differ() -> None:
    assert difference(MODEL, dict(MODEL)) is None


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        pytest.param({}, {}, "neither run has published a model", id="no weights"),
        pytest.param({}, MODEL, "Only the run two has published a model.", id="weights of one"),
        pytest.param(MODEL, {"model.safetensors": "b"}, "differ, in model.safetensors.", id="other weights"),
    ],
)
def test_the_sentence_names_what_is_known_of_the_weights(
    left: Mapping[str, str], right: Mapping[str, str], said: str
) -> None:
    assert said in str(difference(left, right))


def arrived(store: Store, url: str, content: bytes) -> None:
    key = url.rpartition("/")[2]
    store.blob_path(key).write_bytes(content)
    store.write("UPDATE blobs SET size = ? WHERE key = ?", len(content), key)


def sent(store: Store, content: bytes, *, whole: bool) -> None:
    """A version of the model of the first run, pending while it is not whole."""
    artifacts = Artifacts(store, base="", now=0.0)
    names = {"artifactCollectionName": "model-r", "artifactTypeName": "model"}
    version = {"artifactID": node_id("Artifact", artifacts.create({**names, "digest": content.hex()}, 1, 1)["id"])}
    file = {**version, "name": "model.safetensors", "md5": content.hex()}
    (uploaded,) = artifacts.create_files({"artifactFiles": [file]})["files"]["edges"]
    arrived(store, uploaded["node"]["uploadUrl"], content)
    if whole:
        manifest = artifacts.create_manifest({**version, "name": "manifest", "digest": ""})["artifactManifest"]
        contents = {"model.safetensors": {"digest": content.hex(), "size": len(content)}}
        arrived(store, manifest["file"]["uploadUrl"], json.dumps({"contents": contents}).encode())
        artifacts.commit(version)


@pytest.mark.parametrize("name", ["r", "r-2"], ids=["its run", "the run after a deleted one"])
def test_the_model_of_a_job_is_the_last_that_arrived_whole(name: str, tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        Runs(store, base="", now=0.0, heartbeat_timeout=1.0).upsert(
            {"entityName": "sandbox", "modelName": "tests", "name": name}
        )
        sent(store, b"whole", whole=True)
        sent(store, b"killed", whole=False)
    left = result(Records(tmp_path), "r")

    assert (left.run_id, left.weights) == (name, {"model.safetensors": hashlib.sha256(b"whole").hexdigest()})
