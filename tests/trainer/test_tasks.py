"""The tasks: what becomes of rows, and what bad rows are answered with."""

from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import prepared

from tests.trainer import tiny

pytestmark = pytest.mark.training

CLASSIFICATION, GENERATION = "text-classification", "text-generation"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {CLASSIFICATION: tiny.bert(folder / "bert"), GENERATION: tiny.gpt2(folder / "gpt2")}


def ready(models: dict[str, str], uri: str, place: Path, task: str = CLASSIFICATION, **blocks: Any) -> Prepared:
    model = {"uri": models[task], **blocks.pop("model_fields", {})}
    job = tiny.config(dataset=uri, task=task, **blocks).model_copy()
    job = type(job).model_validate({**job.model_dump(mode="json", exclude_unset=True), "model": model})
    wanted = plan(job, 1)
    return prepared(job, wanted, training_arguments(wanted, place / "out"), place / "cache")


def refusal(*args: Any, **blocks: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        ready(*args, **blocks)
    return raised.value


def written(place: Path, *rows: dict[str, Any]) -> str:
    return tiny.jsonl_file(place / "rows.jsonl", rows)


@pytest.mark.parametrize("task", [CLASSIFICATION, GENERATION])
def test_every_format_gives_the_same_batches(task: str, models: dict[str, str], tmp_path: Path) -> None:
    prints = {
        ready(models, write(tmp_path / f"rows.{suffix}"), tmp_path, task).fingerprint
        for suffix, write in tiny.FORMATS.items()
    }

    assert len(prints) == 1


def test_a_pair_of_texts_is_told_apart_by_its_types(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, {"text": "the dog", "other": "sees", "label": 0}, {"text": "a", "other": "cat", "label": 1})

    made = ready(models, uri, tmp_path, data={"columns": {"text": ["text", "other"]}})

    assert made.train_dataset["token_type_ids"][0] == [0, 0, 0, 0, 1, 1]


def test_a_batch_is_as_long_as_its_longest_example(models: dict[str, str], tmp_path: Path) -> None:
    made = ready(models, tiny.csv_file(tmp_path / "rows.csv"), tmp_path)
    few = [made.train_dataset[row] for row in (0, 1)]

    assert made.collator(few)["input_ids"].shape == (2, max(len(one["input_ids"]) for one in few))


def test_long_texts_are_cut(models: dict[str, str], tmp_path: Path) -> None:
    made = ready(models, tiny.csv_file(tmp_path / "rows.csv"), tmp_path, tokenizer={"maxLength": 5})

    assert max(map(len, made.train_dataset["input_ids"])) == 5


def test_generation_ends_a_text_and_never_learns_padding(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, {"text": "the dog sees"}, {"text": "a"}, {"text": ""})
    made = ready(models, uri, tmp_path, GENERATION)

    batch = made.collator([*made.train_dataset])

    assert (batch["input_ids"][0, -1].item(), (batch["labels"] == -100).tolist()[1]) == (
        made.processing_class.eos_token_id,
        [False] * int(batch["attention_mask"][1].sum()) + [True] * int((batch["attention_mask"][1] == 0).sum()),
    )


@pytest.mark.parametrize(
    ("values", "fields", "names"),
    [
        ([2, 0, 1], {}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        (["no", "yes", "no"], {}, ("no", "yes")),
        ([True, False, True], {}, ("False", "True")),
        (["b", "a", "b"], {"labels": ["b", "a"]}, ("b", "a")),
        ([1, 0, 1], {"labels": ["bad", "good"]}, ("bad", "good")),
        ([5, 3, 5], {"labels": ["3", "5"]}, ("3", "5")),
    ],
)
def test_label_names_come_from_the_job_or_the_data(
    values: list[Any], fields: dict[str, Any], names: tuple[str, ...], models: dict[str, str], tmp_path: Path
) -> None:
    uri = written(tmp_path, *({"text": "a dog", "label": value} for value in values))

    made = ready(models, uri, tmp_path, data=fields)

    assert (tuple(made.model.config.id2label.values()), made.model.config.num_labels) == (names, len(names))


@pytest.mark.parametrize(
    ("values", "fields", "sentence"),
    [
        ([0, -1], {}, "Row 2 of train has the label -1; labels are from 0 to 0."),
        ([0, 1, 7], {"labels": ["a", "b"]}, "Row 3 of train has the label 7; labels are from 0 to 1."),
        (["a", "c"], {"labels": ["a", "b"]}, "Row 2 of train has the label 'c'; labels are one of a, b."),
        ([0, None, 1], {}, "Row 2 of train has no label; labels are from 0 to 1."),
        ([0, 0], {}, "Column label holds one label, 0, and nothing can be learned."),
    ],
)
def test_a_label_outside_the_range_is_said_with_its_row(
    values: list[Any], fields: dict[str, Any], sentence: str, models: dict[str, str], tmp_path: Path
) -> None:
    uri = written(tmp_path, *({"text": "a dog", "label": value} for value in values))

    problem = refusal(models, uri, tmp_path, data=fields)

    assert (problem.reason, sentence in problem.message) == ("LabelOutOfRange", True), problem.message


def test_a_label_that_only_the_evaluation_has_is_said(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, *({"text": "a", "label": value} for value in ("x", "y", "z")))
    splits = {"train": "train[:2]", "evaluation": "train[2:]"}

    problem = refusal(models, uri, tmp_path, data={"splits": splits}, training={"eval_strategy": "epoch"})

    assert "Row 1 of the evaluation split has the label 'z'" in problem.message


@pytest.mark.parametrize(("columns", "name"), [({"text": ["sentence"]}, "sentence"), ({"label": "klass"}, "klass")])
def test_a_column_that_is_not_there_is_said_with_those_that_are(
    columns: dict[str, Any], name: str, models: dict[str, str], tmp_path: Path
) -> None:
    problem = refusal(models, tiny.csv_file(tmp_path / "rows.csv"), tmp_path, data={"columns": columns})

    assert (problem.reason, problem.message.split("rows.csv ")[1]) == (
        "ColumnNotFound",
        f"has no column {name}; it has text, other, label. Correct dataset.columns.",
    )


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ({"tokenizer": {"maxLength": 1000}}, "MaxLengthTooLarge"),
        ({"tokenizer": {"padToken": "[NONE]"}}, "PadTokenUnknown"),
        ({"evaluation": {"metrics": ["rouge"]}}, "MetricUnknown"),
        ({"data": {"columns": {"text": ["text", "other", "text"]}}}, "ColumnNotFound"),
        ({"model_fields": {"freeze": ["nothing.*"]}}, "ParameterNotFound"),
        ({"model_fields": {"freeze": ["*"]}}, "NothingToTrain"),
        ({"model_fields": {"config": {"hiden_size": 3}}}, "ModelConfigUnknown"),
        ({"model_fields": {"uri": "file:///nowhere/at/all"}}, "ModelNotFound"),
        ({"model_fields": {"uri": "ftp://host/model"}}, "Unsupported"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    blocks: dict[str, Any], reason: str, models: dict[str, str], tmp_path: Path
) -> None:
    uri = tiny.csv_file(tmp_path / "rows.csv")

    assert refusal(models, uri, tmp_path, **blocks).reason == reason


def test_a_row_without_text_is_said(models: dict[str, str], tmp_path: Path) -> None:
    uri = written(tmp_path, {"text": "a", "label": 0}, {"text": None, "label": 1})

    assert "Row 2 of train has no text in column text." in refusal(models, uri, tmp_path).message


def test_an_encoder_is_refused_for_generation(models: dict[str, str], tmp_path: Path) -> None:
    uri = tiny.csv_file(tmp_path / "rows.csv")

    assert refusal({GENERATION: models[CLASSIFICATION]}, uri, tmp_path, GENERATION).reason == "ModelUnsuitable"


def test_frozen_parameters_are_not_trained(models: dict[str, str], tmp_path: Path) -> None:
    uri = tiny.csv_file(tmp_path / "rows.csv")

    made = ready(models, uri, tmp_path, model_fields={"freeze": ["bert.*"]})

    assert {name.split(".")[0] for name, one in made.model.named_parameters() if one.requires_grad} == {"classifier"}


def test_new_weights_follow_from_the_seed(models: dict[str, str], tmp_path: Path) -> None:
    uri = tiny.csv_file(tmp_path / "rows.csv")

    heads = [
        ready(models, uri, tmp_path, training={"seed": seed}).model.classifier.weight.detach() for seed in (1, 1, 2)
    ]

    assert (heads[0].equal(heads[1]), heads[0].equal(heads[2])) == (True, False)


@pytest.mark.parametrize("damage", ["truncated", "absent", "no config"])
def test_a_damaged_model_is_said(damage: str, tmp_path: Path) -> None:
    model = tiny.bert(tmp_path / "bert")
    weights = tmp_path / "bert" / "model.safetensors"
    match damage:
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:1000])
        case "absent":
            weights.unlink()
        case _:
            (tmp_path / "bert" / "config.json").unlink()

    problem = refusal({CLASSIFICATION: model}, tiny.csv_file(tmp_path / "rows.csv"), tmp_path)

    assert problem.reason in {"ModelUnreadable", "ModelNotFound"}
