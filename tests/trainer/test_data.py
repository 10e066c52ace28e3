"""Data from files: every format the same, every mistake a sentence."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer import data
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.sources.data_files import local_files

from tests.trainer import tiny

pytestmark = pytest.mark.training


def read(uri: str, cache: Path, *, evaluates: bool = False, **fields: Any) -> data.Raw:
    return data.raw(tiny.config(dataset=uri, data=fields), cache, evaluates=evaluates)


def refusal(uri: str, cache: Path, *, evaluates: bool = False, **fields: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        read(uri, cache, evaluates=evaluates, **fields)
    return raised.value


@pytest.mark.parametrize("suffix", tiny.FORMATS)
def test_every_format_gives_the_rows_that_were_written(suffix: str, tmp_path: Path) -> None:
    uri = tiny.FORMATS[suffix](tmp_path / f"rows.{suffix}")

    assert tuple(read(uri, tmp_path / "cache").train) == tiny.ROWS


def test_words_that_look_like_numbers_or_nothing_stay_words_in_csv(tmp_path: Path) -> None:
    rows = [{"text": word, "label": 0} for word in ("007", "NA", "null", "1e5")]
    uri = tiny.csv_file(tmp_path / "rows.csv", rows)

    assert read(uri, tmp_path / "cache").train["text"][:] == ["007", "NA", "null", "1e5"]


def test_a_folder_says_its_splits_by_the_names_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "data" / "dev").mkdir(parents=True)
    tiny.jsonl_file(tmp_path / "data" / "train-00000-of-00002.jsonl", tiny.ROWS[:20])
    tiny.jsonl_file(tmp_path / "data" / "train-00001-of-00002.jsonl", tiny.ROWS[20:])
    tiny.jsonl_file(tmp_path / "data" / "dev" / "part.jsonl", tiny.ROWS[:3])

    found = read(f"file://{tmp_path / 'data'}", tmp_path / "cache", evaluates=True)

    assert (len(found.train), len(found.evaluation)) == (len(tiny.ROWS), 3)


def test_a_folder_without_said_splits_is_all_train(tmp_path: Path) -> None:
    tiny.csv_file(tmp_path / "one.csv")
    tiny.csv_file(tmp_path / "two.csv")

    assert local_files(tmp_path, f"file://{tmp_path}") == (
        "csv",
        {"train": [str(tmp_path / "one.csv"), str(tmp_path / "two.csv")]},
    )


def test_slices_and_limits_choose_rows_from_the_beginning(tmp_path: Path) -> None:
    uri = tiny.csv_file(tmp_path / "rows.csv")
    splits = {"train": "train[:75%]", "evaluation": "train[75%:]"}

    found = read(uri, tmp_path / "cache", evaluates=True, splits=splits, maxSamples={"train": 5, "evaluation": 100})

    assert (tuple(found.train), tuple(found.evaluation)) == (tiny.ROWS[:5], tiny.ROWS[24:])


@pytest.mark.parametrize(
    ("fields", "evaluates", "reason", "sentence"),
    [
        ({"splits": {"train": "training"}}, False, "SplitNotFound", "has no split training; it has train."),
        ({}, True, "SplitNotFound", "has no validation or test split to evaluate on; it has train."),
        ({"splits": {"evaluation": "dev"}}, True, "SplitNotFound", "has no split dev; it has train."),
        ({"splits": {"train": "train[:x]"}}, False, "SplitNotFound", "train[:x] is not a split or slice of"),
        ({"splits": {"train": "train[:0]"}}, False, "EmptyDataset", "has no rows in train[:0]."),
    ],
)
def test_a_split_that_is_not_there_is_said_with_those_that_are(
    fields: dict[str, Any], evaluates: bool, reason: str, sentence: str, tmp_path: Path
) -> None:
    problem = refusal(tiny.csv_file(tmp_path / "rows.csv"), tmp_path / "cache", evaluates=evaluates, **fields)

    assert (problem.reason, sentence in problem.message) == (reason, True), problem.message


def empty(path: Path) -> str:
    path.write_text("")
    return f"file://{path}"


def broken_json(path: Path) -> str:
    path.write_text('{"text": "a", "label": 1}\n{"text": ')
    return f"file://{path}"


def broken_parquet(path: Path) -> str:
    path.write_bytes(b"PAR1 and then nothing")
    return f"file://{path}"


def ragged_csv(path: Path) -> str:
    path.write_text("text,label\na,1\nb,2,3,4\n")
    return f"file://{path}"


def latin_csv(path: Path) -> str:
    path.write_bytes("text,label\ncafé,1\n".encode("latin-1"))
    return f"file://{path}"


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (broken_json, "rows.jsonl"),
        (broken_parquet, "rows.parquet"),
        (ragged_csv, "rows.csv"),
        (latin_csv, "rows.csv"),
        (empty, "rows.csv"),
        (empty, "rows.jsonl"),
        (empty, "rows.txt"),
    ],
)
def test_a_file_that_cannot_be_read_is_said(write: Callable[[Path], str], name: str, tmp_path: Path) -> None:
    problem = refusal(write(tmp_path / name), tmp_path / "cache")

    assert (problem.reason in {"UnreadableFile", "EmptyDataset"}, name in problem.message) == (True, True)


def test_a_place_where_nothing_is_is_said(tmp_path: Path) -> None:
    assert refusal(f"file://{tmp_path}/nothing", tmp_path / "cache").reason == "DatasetNotFound"


def test_a_folder_of_two_kinds_is_refused(tmp_path: Path) -> None:
    tiny.csv_file(tmp_path / "one.csv")
    tiny.jsonl_file(tmp_path / "two.jsonl")

    assert "files of the kinds .csv, .jsonl" in refusal(f"file://{tmp_path}", tmp_path / "cache").message


def test_a_scheme_that_is_not_read_is_refused(tmp_path: Path) -> None:
    assert refusal("ftp://host/rows.csv", tmp_path / "cache").reason == "Unsupported"


def test_fingerprints_follow_the_numbers_alone() -> None:
    import datasets

    rows = {"input_ids": [[1, 2], [3], [4]], "labels": [0, 1, 0]}
    whole = datasets.Dataset.from_dict(rows)
    pieces = datasets.concatenate_datasets([whole.select([0]), whole.select([1, 2])])
    other = datasets.Dataset.from_dict({**rows, "input_ids": [[1], [2, 3], [4]]})

    told = [data.fingerprint([table]) for table in (whole, pieces, other)]

    assert (told[0] == told[1], told[0] == told[2]) == (True, False)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """A rank with two CPUs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def doubled(batch: dict[str, list[int]], positions: list[int]) -> dict[str, list[Any]]:
    """Examples of rows; what is wrong with a row is said with its number."""
    rows = [*zip(batch["n"], positions, strict=True)]
    for value, number in rows:
        if value < 0:
            raise ConfigurationError("RowUnreadable", f"Row {number + 1} is below zero.")
    return {"input_ids": [[value, number] for value, number in rows]}


@pytest.mark.usefixtures("two_threads")
def test_many_rows_are_tokenized_by_several_processes_which_changes_nothing() -> None:
    import datasets

    rows = 2 * data.ROWS_OF_A_PROCESS
    table = datasets.Dataset.from_dict({"n": range(rows)})
    broken = datasets.Dataset.from_dict({"n": [*range(rows - 1), -1]})

    environment = os.environ

    made = data.tokenized(table, doubled, {}, ("input_ids",))

    assert os.environ is environment
    assert (data.processes(rows), data.processes(rows - 1)) == (2, None)
    assert made["input_ids"][:] == [[row, row] for row in range(rows)]
    with pytest.raises(ConfigurationError, match=f"Row {rows} is below zero"):
        data.tokenized(broken, doubled, {}, ("input_ids",))
