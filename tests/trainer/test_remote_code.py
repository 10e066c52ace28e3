"""A model whose code is in its own repository: run only when asked for, and as exact over restarts as any other."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.tasks import prepared

from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result

pytestmark = pytest.mark.training

CONFIGURATION = """
from transformers import BertConfig


class LouderConfig(BertConfig):
    model_type = "louder"
    loudness = 2.0
"""
MODELING = """
from transformers import BertForSequenceClassification

from .configuration_louder import LouderConfig


class LouderForSequenceClassification(BertForSequenceClassification):
    config_class = LouderConfig

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, **others):
        outputs = super().forward(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, **others)
        outputs.logits = outputs.logits * self.config.loudness
        return outputs
"""
CLASSES = {
    "AutoConfig": "configuration_louder.LouderConfig",
    "AutoModelForSequenceClassification": "modeling_louder.LouderForSequenceClassification",
}


@pytest.fixture(scope="module")
def repository(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT as a model of another type, with the code of that type beside it."""
    folder = tmp_path_factory.mktemp("louder")
    for file in (material / "model").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    own: dict[str, Any] = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(own | {"model_type": "louder", "auto_map": CLASSES}))
    (folder / "configuration_louder.py").write_text(CONFIGURATION)
    (folder / "modeling_louder.py").write_text(MODELING)
    return folder


def test_code_of_a_repository_is_not_run_unasked(repository: Path, config: dict[str, Any], tmp_path: Path) -> None:
    whole = RunConfig.model_validate(config | {"model": {"uri": f"file://{repository}"}})
    wanted = plan(whole, 1)

    with pytest.raises(ConfigurationError) as raised:
        prepared(whole, wanted, training_arguments(wanted, tmp_path / "out"), tmp_path / "cache")

    assert (raised.value.reason, "set model.trustRemoteCode" in raised.value.message) == ("ModelNeedsItsCode", True)


def test_a_model_with_its_own_code_is_exact_and_is_published_with_it(job: Job, repository: Path) -> None:
    wanted = changed(dict(job.config), model={"uri": f"file://{repository}", "trustRemoteCode": True})
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    again = replace(job, config=wanted, folder=job.folder / "again")

    assert result(again.disturbed((14,), "SIGKILL")) == result(plain)
    final = plain.work / "output" / "final"
    assert {each.name for each in final.glob("*.py")} == {"configuration_louder.py", "modeling_louder.py"}
    assert json.loads((final / "config.json").read_text())["auto_map"] == CLASSES
