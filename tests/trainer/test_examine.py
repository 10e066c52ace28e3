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
    assert found(tmp_path, model, training=training, data={"splits": splits}) == []


def test_each_mistake_is_found_once(tmp_path: Path, model: str) -> None:
    wrong = {"data": {"columns": {**COLUMNS, "label": "lable"}}, "globalBatchSize": 3}
    reasons = found(tmp_path, model, model={"config": {"hidden_dropout": 0.5}}, **wrong)
    assert reasons == ["GlobalBatchSizeIndivisible", "ModelConfigUnknown", "ColumnNotFound"]


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        pytest.param({"rows": [{"text": "a dog", "label": 0}, {"text": None, "label": 1}]}, "TextMissing", id="a text"),
        pytest.param({"data": {"splits": {"train": "trian"}}}, "SplitNotFound", id="a split"),
        pytest.param(
            {"data": {"labels": ["no", "yes"]}, "rows": [{"text": "a", "label": 7}]}, "LabelOutOfRange", id="label"
        ),
        pytest.param({"tokenizer": {"maxLength": 4096}}, "MaxLengthTooLarge", id="a length"),
        pytest.param({"tokenizer": {"padToken": "<pad>"}}, "PadTokenUnknown", id="a padding token"),
        pytest.param({"model": {"uri": "file:///nowhere"}}, "ModelNotFound", id="a model"),
        pytest.param({"evaluation": {"metrics": ["bleu"]}}, "MetricUnknown", id="a metric"),
        pytest.param({"extensions": {"callbacks": [{"use": "none:Such"}]}}, "ExtensionNotFound", id="a callback"),
    ],
)
def test_a_mistake_in_a_job_is_found_without_training_it(
    tmp_path: Path, model: str, blocks: dict[str, Any], reason: str
) -> None:
    assert found(tmp_path, model, **blocks) == [reason]
