"""Data that are read while training: exact over restarts, passes and ranks; refused where that makes no sense."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.config import plan
from finetune_trainer.data import streams
from finetune_trainer.data.passes import Drawn
from finetune_trainer.errors import ConfigurationError

from tests.trainer import tiny
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result, rows

pytestmark = pytest.mark.training


def streamed(job: Job, material: Path, **blocks: Any) -> Job:
    """The job with a stream of two data sets, of which it makes more than one pass, and texts that vary."""
    uri = job.config["dataset"]["uri"]
    mix = [{"uri": f"file://{material / 'data' / 'validation.jsonl'}", "weight": 0.2}]
    dataset = {**job.config["dataset"], "uri": uri, "streaming": True, "shuffleBuffer": 16, "mix": mix}
    dataset |= {"augment": ["word-swap", "word-deletion"]}
    training = {"max_steps": 20, **blocks.pop("training", {})}
    return replace(job, config=changed(dict(job.config), dataset=dataset, training=training, **blocks))


def test_a_streamed_job_that_was_killed_ends_as_an_undisturbed_one(job: Job, material: Path) -> None:
    one = streamed(job, material)
    plain = replace(one, folder=job.folder / "plain").finish()

    assert result(one.disturbed((17,), "SIGKILL")) == result(plain)


def test_two_ranks_read_what_one_reads(job: Job, material: Path) -> None:
    still = {"model": {**job.config["model"], "config": {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}}}
    alone = streamed(job, material, training={"logging_steps": 1}, **still)
    both = streamed(
        job,
        material,
        training={"logging_steps": 1, "gradient_accumulation_steps": 1},
        compute={"processesPerNode": 2},
        **still,
    )

    losses = [
        [row["loss"] for row in rows(replace(one, folder=job.folder / name).finish()) if "loss" in row]
        for name, one in (("alone", alone), ("both", both))
    ]

    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ({"training": {}}, "StreamWithoutEnd"),
        ({"training": {"max_steps": 3, "eval_strategy": "epoch"}}, "StreamWithoutEpochs"),
        ({"training": {"max_steps": 3}, "task": "image-classification"}, "Unsupported"),
        ({"training": {"max_steps": 3}, "task": "text-generation", "tokenizer": {"packing": True}}, "Unsupported"),
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(blocks: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        plan(tiny.config(data={"streaming": True}, **blocks), 1)

    assert (raised.value.reason, "dataset.streaming" in raised.value.message) == (reason, True)


def test_columns_of_columns_are_spread_in_a_stream_as_in_a_table() -> None:
    import datasets

    rows = [
        {"id": 1, "translation": {"en": "a dog", "fr": "un chien"}},
        {"id": 2, "translation": {"en": "a", "fr": None}},
    ]
    table = datasets.Dataset.from_list(rows)

    found = streams.flat(table.to_iterable_dataset())

    assert [*found] == [*streams.flat(table)]


def test_what_is_drawn_of_a_stream_follows_from_the_pass_and_the_row() -> None:
    def make(row: dict[str, Any], dice: Any) -> dict[str, Any]:
        return {**row, "drawn": float(dice.random())}

    rows = [{"number": number, "text": ["a", "b"]} for number in range(6)]
    drawn = Drawn(rows=None, make=make, seed=3)

    first, again, later = ([drawn.example(row, number)["drawn"] for row in rows] for number in (0, 0, 1))

    assert (first == again, len({*first, *later})) == (True, 12)


def test_a_slice_of_a_stream_is_refused(tmp_path: Path) -> None:
    from finetune_trainer import data

    wanted = tiny.config(
        dataset=tiny.csv_file(tmp_path / "rows.csv"), data={"streaming": True, "splits": {"train": "train[:50%]"}}
    )

    with pytest.raises(ConfigurationError, match=r"A stream is read from its beginning: train\[:50%\] is a slice"):
        data.raw(wanted, tmp_path / "cache", evaluates=False)
