"""Models and data from the Hub: what is found, and what a user's mistake is answered with."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from finetune_sandbox.hub import Hub
from finetune_sandbox.hub.server import Access

from tests.trainer import tiny

pytestmark = pytest.mark.training

BERT, GPT2 = "hf://google-bert/bert-base-uncased", "hf://openai-community/gpt2"
LLAMA = "hf://HuggingFaceTB/SmolLM2-135M-Instruct"
MRPC = {"config": "mrpc", "columns": {"text": ["sentence1", "sentence2"]}}
GLUE = {"dataset": "hf://nyu-mll/glue", "data": MRPC, "training": {"eval_strategy": "epoch"}}
WIKITEXT = {
    "dataset": "hf://Salesforce/wikitext",
    "task": "text-generation",
    "data": {"config": "wikitext-2-raw-v1"},
    "training": {"eval_strategy": "epoch"},
}
JOBS: dict[str, dict[str, Any]] = {
    "mrpc": {"model": BERT, **GLUE},
    "wikitext": {"model": GPT2, **WIKITEXT},
    "hidden": {**GLUE, "model": BERT, "dataset": "hf://somebody/hidden"},
    "gated": {**WIKITEXT, "model": "hf://somebody/gated"},
    "no such model": {"model": "hf://nobody/nothing", **GLUE},
    "no such revision": {"model": BERT, **GLUE, "revision": "v9"},
    "no such data set": {"model": BERT, "dataset": "hf://nobody/nothing"},
    "a program": {"model": BERT, "dataset": "hf://somebody/scripted"},
    "a program as a stream": {
        "model": BERT,
        "dataset": "hf://somebody/scripted",
        "data": {"streaming": True},
        "training": {"max_steps": 1},
    },
    "no such configuration": {"model": BERT, "dataset": "hf://nyu-mll/glue", "data": {"config": "nope"}},
    "no configuration": {"model": BERT, "dataset": "hf://nyu-mll/glue"},
    "no such split": {"model": BERT, "dataset": "hf://nyu-mll/glue", "data": {**MRPC, "splits": {"train": "nope"}}},
    "no such column": {"model": BERT, "dataset": "hf://nyu-mll/glue", "data": {"config": "mrpc"}},
    "no such data revision": {"model": BERT, "dataset": "hf://nyu-mll/glue", "data": {**MRPC, "revision": "v9"}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A fresh process that prepares jobs."""

    process: subprocess.Popen[str]
    folder: Path

    def answers(self, name: str, jobs: Mapping[str, dict[str, Any]]) -> dict[str, list[Any]]:
        """What it makes of the jobs, which are kept under a name."""
        place = self.folder / name
        place.mkdir()
        (place / "cases.json").write_text(json.dumps({name: case(**job) for name, job in jobs.items()}))
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{place}\n")
        self.process.stdin.flush()
        done = any(line.strip() == str(place) for line in self.process.stdout)
        assert done, (self.folder / "log").read_text()[-4000:]
        found: dict[str, list[Any]] = json.loads((place / "answers.json").read_text())
        return found


def case(revision: str | None = None, token: str = "", restored: str = "nowhere", **blocks: Any) -> dict[str, Any]:
    """A job whose model has a revision, in JSON, the token with which the Hub is asked, and a restored checkpoint."""
    whole = tiny.config(**blocks).model_dump(mode="json", exclude_unset=True)
    return {**whole, "model": {**whole["model"], "revision": revision}, "token": token, "restored": restored}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with a model and a data set that are guarded, and with a data set that is a program."""
    root = tmp_path_factory.mktemp("hub")
    scripted = root / "datasets" / "somebody" / "scripted" / "main"
    scripted.mkdir(parents=True)
    (scripted / "scripted.py").write_text("raise SystemExit('I was run.')\n")
    access = Access(private={"somebody/hidden": "right"}, gated={"somebody/gated": "right"})
    with Hub(root, access=access) as running:
        shutil.copytree(root / "datasets" / "nyu-mll" / "glue", root / "datasets" / "somebody" / "hidden")
        shutil.copytree(root / "models" / "google-bert" / "bert-base-uncased", root / "models" / "somebody" / "gated")
        yield running


@pytest.fixture(scope="module")
def reader(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """What reads the hub without a token."""
    folder = tmp_path_factory.mktemp("reader")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    own = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            (sys.executable, str(Path(__file__).parent / "read_hub.py")),
            env={**kept, **hub.environment(folder / "home"), **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Reader(process=process, folder=folder)


@pytest.fixture(scope="module")
def found(reader: Reader) -> dict[str, list[Any]]:
    return reader.answers("there", JOBS)


def test_a_model_and_a_data_set_of_the_hub_are_prepared(found: dict[str, list[Any]]) -> None:
    assert found["mrpc"] == [1024, 64, ["not_equivalent", "equivalent"]]


def test_texts_of_the_hub_are_prepared(found: dict[str, list[Any]]) -> None:
    assert found["wikitext"] == [1024, 64, []]


@pytest.mark.parametrize(
    ("job", "reason", "sentence"),
    [
        ("no such model", "ModelNotFound", "hf://nobody/nothing is not on the Hub"),
        ("no such revision", "ModelNotFound", "has no revision v9. Correct model.revision."),
        ("no such data set", "DatasetNotFound", "hf://nobody/nothing is not on the Hub"),
        ("no such data revision", "DatasetNotFound", "has no revision v9. Correct dataset.revision."),
        ("a program", "DatasetUnsupported", "hf://somebody/scripted is a program that makes data, and such are no"),
        ("a program as a stream", "DatasetUnsupported", "dataset.revision: refs/convert/parquet, where the Hub has"),
        ("no such configuration", "DatasetConfigNotFound", "'nope' not found. Available: ['mrpc', 'sst2']"),
        ("no configuration", "DatasetConfigNotFound", "pick one among the available configs: ['mrpc', 'sst2']"),
        ("no such split", "SplitNotFound", "has no split nope; it has train, validation, test."),
        ("no such column", "ColumnNotFound", "has no column text; it has sentence1, sentence2, label, idx."),
    ],
)
def test_a_mistake_is_answered_with_what_there_is(
    job: str, reason: str, sentence: str, found: dict[str, list[Any]]
) -> None:
    kind, said, message = found[job]

    assert (kind, said, sentence in message) == ("ConfigurationError", reason, True), message


def test_a_hidden_data_set_is_said_to_be_absent_or_hidden(found: dict[str, list[Any]]) -> None:
    assert found["hidden"][:2] == ["ConfigurationError", "DatasetNotFound"]


def test_a_gated_model_is_said_to_be_gated(found: dict[str, list[Any]]) -> None:
    assert found["gated"][:2] == ["ConfigurationError", "GatedRepo"]


def test_a_token_that_the_hub_does_not_know_is_said_to_be_refused(reader: Reader, tmp_path: Path) -> None:
    local = tiny.csv_file(tmp_path / "rows.csv")
    jobs = {"model": {"model": BERT, "dataset": local, "token": "bad"}, "data": {**JOBS["wikitext"], "token": "bad"}}

    for kind, said, message in reader.answers("bad token", jobs).values():
        assert (kind, said) == ("ConfigurationError", "TokenRefused")
        assert "Put a valid token into the Secret that hub.secretRef names." in message


def test_weights_that_a_checkpoint_has_are_not_fetched(hub: Hub, reader: Reader) -> None:
    checkpoint = hub.root / "models" / LLAMA.removeprefix("hf://") / "main"
    prepared = {"restored": str(checkpoint), **WIKITEXT, "model": LLAMA}

    assert reader.answers("going on", {"going on": prepared})["going on"] == [1024, 64, []]
    assert any(reader.folder.rglob("models--*SmolLM2*/**/config.json"))
    assert not any(reader.folder.rglob("models--*SmolLM2*/**/*.safetensors"))


def test_a_hub_that_cannot_be_reached_is_tried_again(hub: Hub, reader: Reader, tmp_path: Path) -> None:
    local = tiny.csv_file(tmp_path / "rows.csv")
    jobs = {
        "data": {"model": BERT, "dataset": "hf://nobody/new"},
        "model": {"model": "hf://nobody/new", "dataset": local},
    }
    hub.pause()
    try:
        said = reader.answers("away", jobs)
    finally:
        hub.resume()

    assert {name: told[:2] for name, told in said.items()} == {name: ["RetryLater", "HubUnreachable"] for name in jobs}
