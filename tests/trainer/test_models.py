"""Models and data from the Hub: what is found, and what a user's mistake is answered with."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from finetune_sandbox.hub import Hub
from finetune_sandbox.hub.server import Access

from tests.trainer import tiny

pytestmark = pytest.mark.training

BERT, GPT2 = "hf://google-bert/bert-base-uncased", "hf://openai-community/gpt2"
MRPC = {"config": "mrpc", "columns": {"text": ["sentence1", "sentence2"]}}
GLUE = {"dataset": "hf://nyu-mll/glue", "data": MRPC, "training": {"eval_strategy": "epoch"}}
JOBS: dict[str, dict[str, Any]] = {
    "mrpc": {"model": BERT, **GLUE},
    "wikitext": {
        "model": GPT2,
        "dataset": "hf://Salesforce/wikitext",
        "task": "text-generation",
        "data": {"config": "wikitext-2-raw-v1"},
        "training": {"eval_strategy": "epoch"},
    },
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


def answers(hub: str, place: Path, jobs: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """What a fresh process makes of the jobs."""
    place.mkdir(parents=True)
    cases = {}
    for name, job in jobs.items():
        blocks = dict(job)
        revision = blocks.pop("revision", None)
        case = tiny.config(**blocks).model_dump(mode="json", exclude_unset=True)
        case["model"]["revision"] = revision
        cases[name] = case
    (place / "cases.json").write_text(json.dumps(cases))
    root = Path(__file__).parents[2]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env = {**kept, "HF_ENDPOINT": hub, "HF_HOME": str(place / "home"), "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    program = Path(__file__).parent / "read_hub.py"
    ended = subprocess.run(
        (sys.executable, str(program), str(place)), env=env, text=True, capture_output=True, check=False, timeout=240
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, list[Any]] = json.loads((place / "answers.json").read_text())
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    folder = tmp_path_factory.mktemp("hub")
    scripted = folder / "hub" / "datasets" / "somebody" / "scripted" / "main"
    scripted.mkdir(parents=True)
    (scripted / "scripted.py").write_text("raise SystemExit('I was run.')\n")
    with Hub(folder / "hub") as hub:
        return answers(hub.url, folder / "open", JOBS)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    folder = tmp_path_factory.mktemp("guarded")
    access = Access(private={"nyu-mll/glue": "right"}, gated={"google-bert/bert-base-uncased": "right"})
    jobs = {name: JOBS[name] for name in ("mrpc", "wikitext")}
    jobs["gated"] = {**JOBS["wikitext"], "model": BERT}
    with Hub(folder / "hub", access=access) as hub:
        return answers(hub.url, folder / "jobs", jobs)


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


def test_a_hidden_data_set_is_said_to_be_absent_or_hidden(guarded: dict[str, list[Any]]) -> None:
    assert guarded["mrpc"][:2] == ["ConfigurationError", "DatasetNotFound"]


def test_a_gated_model_is_said_to_be_gated(guarded: dict[str, list[Any]]) -> None:
    assert guarded["gated"][:2] == ["ConfigurationError", "GatedRepo"]


def test_what_is_not_guarded_is_prepared(guarded: dict[str, list[Any]]) -> None:
    assert guarded["wikitext"][0] == 1024


def test_a_hub_that_cannot_be_reached_is_tried_again(tmp_path: Path) -> None:
    with Hub(tmp_path / "hub") as hub:
        gone = hub.url
    local = tiny.csv_file(tmp_path / "rows.csv")
    jobs = {"data": JOBS["mrpc"], "model": {"model": BERT, "dataset": local}}

    said = answers(gone, tmp_path / "jobs", jobs)

    assert {name: told[:2] for name, told in said.items()} == {name: ["RetryLater", "HubUnreachable"] for name in jobs}
