"""What `finetune validate --deep` hears from the trainer of a job that is not trained."""

from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.contract.sources import ModelSource

from tests.trainer import tiny

pytestmark = pytest.mark.training

COLUMNS = {"text": ["text"], "label": "label"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny encoder whose weights are gone: nobody should look for them."""
    folder = tmp_path_factory.mktemp("model")
    tiny.bert(folder)
    (folder / "model.safetensors").unlink()
    return f"file://{folder}"


def found(folder: Path, place: str, *, rows: Any = tiny.ROWS, **blocks: Any) -> list[str]:
    """The reasons of what is found in a job on rows of its own."""
    from finetune_trainer.examine import findings

    data = {"columns": COLUMNS, **blocks.pop("data", {})}
    source = ModelSource.model_validate({"uri": place, **blocks.pop("model", {})})
    config = tiny.config(place, tiny.jsonl_file(folder / "rows.jsonl", rows), data=data, **blocks)
    config = config.model_copy(update={"model": source})
    return [one["reason"] for one in findings(config, folder)]


def test_a_job_that_would_train_has_no_findings(tmp_path: Path, model: str) -> None:
    training = {"bf16": True, "eval_strategy": "epoch", "max_steps": 2}
    splits = {"train": "train[:80%]", "evaluation": "train[80%:]"}
    config = {"initializer_range": 0}  # What kubectl makes of 0.0.
    assert found(tmp_path, model, training=training, data={"splits": splits}, model={"config": config}) == []


def test_each_mistake_is_found_once(tmp_path: Path, model: str) -> None:
    wrong = {"data": {"columns": {**COLUMNS, "label": "lable"}}, "globalBatchSize": 3}
    reasons = found(tmp_path, model, model={"config": {"hidden_dropout": 0.5}}, **wrong)
    assert reasons == ["GlobalBatchSizeIndivisible", "ModelConfigUnknown", "ColumnNotFound"]


EVALUATES = {"eval_strategy": "steps", "eval_steps": 1, "max_steps": 2}
MISTAKES = {
    "a text": ({"rows": [{"text": "a dog", "label": 0}, {"text": None, "label": 1}]}, "TextMissing"),
    "a split": ({"data": {"splits": {"train": "trian"}}}, "SplitNotFound"),
    "a test split": ({"data": {"splits": {"test": "tset"}}}, "SplitNotFound"),
    "an empty slice": ({"data": {"splits": {"train": "train[100:200]"}}}, "EmptyDataset"),
    "a label": ({"data": {"labels": ["no", "yes"]}, "rows": [{"text": "a", "label": 7}]}, "LabelOutOfRange"),
    "one label": ({"rows": [{"text": "a dog", "label": "yes"}] * 3}, "LabelOutOfRange"),
    "objects for labels": ({"rows": [{"text": "a dog", "label": {"is": 1}}] * 3}, "LabelOutOfRange"),
    "a length": ({"tokenizer": {"maxLength": 4096}}, "MaxLengthTooLarge"),
    "no length": ({"tokenizer": {"maxLength": 2}}, "MaxLengthTooSmall"),
    "a padding token": ({"tokenizer": {"padToken": "<pad>"}}, "PadTokenUnknown"),
    "a model": ({"model": {"uri": "file:///nowhere"}}, "ModelNotFound"),
    "a smaller model": ({"model": {"config": {"vocab_size": 9}}}, "TokenizerDoesNotFit"),
    "no batch": ({"training": {"per_device_train_batch_size": 64, "dataloader_drop_last": True}}, "EmptyDataset"),
    "a metric": ({"evaluation": {"metrics": ["bleu"]}}, "MetricUnknown"),
    "the best model's metric": (
        {
            "data": {"splits": {"evaluation": "train[:8]"}},
            "training": {**EVALUATES, "metric_for_best_model": "acuracy"},
        },
        "MetricUnknown",
    ),
    "a callback": ({"extensions": {"callbacks": [{"use": "none:Such"}]}}, "ExtensionNotFound"),
    "no callback": ({"extensions": {"callbacks": [{"use": "pathlib:Path"}]}}, "ExtensionUnsuitable"),
    "a callback's arguments": (
        {"extensions": {"callbacks": [{"use": "transformers:EarlyStoppingCallback", "arguments": {"patience": 1}}]}},
        "ExtensionUnsuitable",
    ),
    "an optimizer's arguments": (
        {"extensions": {"optimizer": {"use": "torch.optim:SGD", "arguments": {"momentun": 0.9}}}},
        "ExtensionUnsuitable",
    ),
    "an optimizer's package": ({"training": {"optim": "galore_adamw"}}, "TrainingArgumentsRefused"),
    "a schedule": ({"training": {"lr_scheduler_type": "cosine_with_min_lr"}}, "TrainingArgumentsRefused"),
    "a setting of accelerate": ({"training": {"accelerator_config": {"evn": 1}}}, "TrainingArgumentsRefused"),
    "batches that are not even": ({"training": {"accelerator_config": {"even_batches": False}}}, "Unsupported"),
}
"""What is wrong with a job, and what is said of it."""


@pytest.mark.parametrize(("blocks", "reason"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_a_job_is_found_without_training_it(
    tmp_path: Path, model: str, blocks: dict[str, Any], reason: str
) -> None:
    assert found(tmp_path, model, **blocks) == [reason]


def test_a_folder_without_a_tokenizer_is_not_taken_for_one(tmp_path: Path) -> None:
    place = tiny.bert(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).unlink()

    assert found(tmp_path, place) == ["TokenizerNotFound"]


def test_a_model_that_counts_behind_its_padding_has_fewer_positions(tmp_path: Path) -> None:
    from transformers import RobertaConfig

    tiny.tokenizer().save_pretrained(tmp_path / "model")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    RobertaConfig(vocab_size=32, max_position_embeddings=32, **sizes).save_pretrained(tmp_path / "model")
    wanted = {"tokenizer": {"maxLength": 32}}

    assert found(tmp_path, f"file://{tmp_path / 'model'}", **wanted) == ["MaxLengthTooLarge"]
