"""Adapters: they are trained in place of the model, kept, merged, and as exact over restarts as whole models."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import prepared
from safetensors.torch import load_file, save_file

from tests.trainer import language, tiny
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result

pytestmark = pytest.mark.training

BEST = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True, "save_total_limit": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with model and data."""
    return language.furnished(tmp_path_factory.mktemp("language"))


def ready(place: Path, **more: Any) -> Prepared:
    blocks = language.blocks(place, "texts", **more)
    whole = RunConfig.model_validate({**tiny.config().model_dump(by_alias=True, exclude_unset=True), **blocks})
    wanted = plan(whole, 1)
    return prepared(whole, wanted, training_arguments(wanted, place / "out"), place / "cache")


def trained(made: Prepared) -> set[str]:
    """The modules that are trained, without their place in the model."""
    names = [name for name, one in made.model.named_parameters() if one.requires_grad]
    return {name.partition(".lora_")[0].rpartition(".")[2] for name in names}


def test_all_linear_layers_but_the_output_get_matrices(place: Path) -> None:
    made = ready(place, peft={"method": "lora", "r": 4})

    assert trained(made) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_modules_are_chosen_by_name(place: Path) -> None:
    made = ready(place, peft={"method": "lora", "targetModules": ["q_proj"], "modulesToSave": ["norm"]})

    names = {name for name, one in made.model.named_parameters() if one.requires_grad and "lora" not in name}
    assert (trained(made) - {"weight"}, names) == (
        {"q_proj"},
        {"base_model.model.model.norm.modules_to_save.default.weight"},
    )


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (
            {"peft": {"method": "lora", "targetModules": ["query"]}},
            "query is no module of the model. It has down_proj,",
        ),
        ({"peft": {"method": "dora", "modulesToSave": ["head"]}}, "peft.modulesToSave: head is no module"),
        ({"peft": {"method": "lora", "targetModules": ["all-linear", "q_proj"]}}, "all-linear stands alone"),
        ({"peft": {"method": "lora", "quantization": {}}}, "peft.quantization is for method: qlora"),
        ({"peft": {"method": "lora"}, "training": {"optim": "apollo_adamw"}}, "apollo_adamw works on whole matrices"),
        (
            {"peft": {"method": "qlora"}, "distributed": {"deepspeed": {"zeroStage": 3}}},
            "stage 3 of distributed.deepspeed together with peft.method: qlora is not supported",
        ),
    ],
)
def test_an_adapter_that_cannot_be_is_refused(blocks: dict[str, Any], words: str, place: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ready(place, **blocks)

    assert words in raised.value.message


def test_an_adapter_in_place_of_a_model_is_refused_with_the_way_out(place: Path, tmp_path: Path) -> None:
    made = ready(place, peft={"method": "lora"})
    made.model.save_pretrained(tmp_path / "adapter")
    made.processing_class.save_pretrained(tmp_path / "adapter")

    with pytest.raises(ConfigurationError) as raised:
        ready(place, model={"uri": f"file://{tmp_path / 'adapter'}"})

    _, there, way_out = raised.value.message.partition(f" holds an adapter of {place / 'llama'}, not a model. ")
    assert (bool(there), way_out) == (True, "Train it with output.merged: true, or name its base in model.uri.")


def test_an_adapter_is_not_resumed_on_another_base(job: Job, place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "mounted")
    blocks = language.blocks(tmp_path / "mounted", "texts", peft={"method": "lora"})
    wanted = replace(job, config=changed({**job.config, **blocks}, training={"eval_strategy": "no"}))
    running = wanted.attempt()
    running.reach(5)
    running.stop()
    running.end()
    weights = tmp_path / "mounted" / "llama" / "model.safetensors"
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights, {"format": "pt"})

    word = wanted.attempt().outcome()

    assert (word.reason, "weights of the model under the adapter changed" in word.message) == (
        "CheckpointDoesNotFit",
        True,
    )


def test_a_merged_adapter_on_a_new_head_is_exact_over_restarts(job: Job) -> None:
    peft = {"method": "dora", "r": 4, "dropout": 0.1}
    wanted = changed(dict(job.config), peft=peft, output={"merged": True}, training=BEST)
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    again = replace(job, config=wanted, folder=job.folder / "again")

    assert result(again.disturbed((14,), "SIGKILL")) == result(plain)


def job_of(place: Path, **output: Any) -> RunConfig:
    """A job that trains an adapter for a moment."""
    base = tiny.config(training={"max_steps": 2, "learning_rate": 1e-2}).model_dump(by_alias=True, exclude_unset=True)
    return RunConfig.model_validate({**base, **language.blocks(place, "texts", peft={"method": "lora"}, **output)})


def test_an_adapter_names_its_base_as_the_job_does(place: Path, tmp_path: Path) -> None:
    from finetune_trainer.models.adapters import save_final

    from tests.trainer.learn import trainer

    save_final(trainer(job_of(place), tmp_path), tmp_path / "final", job_of(place))

    settings = json.loads((tmp_path / "final" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == f"file://{place / 'llama'}"


def test_a_merged_model_says_what_its_adapter_said(place: Path, tmp_path: Path) -> None:
    from finetune_trainer.models.adapters import save_final
    from transformers import AutoModelForCausalLM

    from tests.trainer.learn import trainer

    whole = job_of(place, output={"merged": True})
    made = trainer(whole, tmp_path)
    made.train()
    ids = torch.tensor([[1, 2, 3, 4]])
    said = made.model.eval()(input_ids=ids).logits

    save_final(made, tmp_path / "final", whole)

    again = AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    torch.testing.assert_close(again(input_ids=ids).logits, said)
