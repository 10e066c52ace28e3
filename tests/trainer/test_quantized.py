"""Weights in four bits under an adapter (QLoRA): exact over restarts, merged without being quantized again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_trainer.contract.run_config import Quantization, RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.models import quantized

from tests.trainer import language, tiny
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result

pytestmark = pytest.mark.training

QLORA = {"method": "qlora", "r": 4, "dropout": 0.1}
IN_FOUR_BITS = {"quant_method": "bitsandbytes", "load_in_4bit": True}
FEW = {"max_steps": 2, "per_device_train_batch_size": 8, "logging_steps": 1, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with models and data."""
    folder = language.furnished(tmp_path_factory.mktemp("language"))
    tiny.bert(folder / "bert")
    tiny.gpt2(folder / "gpt2")
    tiny.jsonl_file(folder / "rows.jsonl")
    return folder


def writes(place: Path, model: str, peft: dict[str, Any] = QLORA, dtype: str = "float32") -> RunConfig:
    """A job that trains a language model."""
    named = {"uri": f"file://{place / model}", "dtype": dtype}
    blocks = language.blocks(place, "texts", peft=peft, output={"merged": True}, training=FEW) | {"model": named}
    return RunConfig.model_validate({**tiny.config().model_dump(by_alias=True, exclude_unset=True), **blocks})


def classifies(place: Path, **blocks: Any) -> RunConfig:
    """A job that trains a classifier whose head its files do not hold."""
    peft = {"method": "qlora", "r": 4}
    return tiny.config(f"file://{place / 'bert'}", f"file://{place / 'rows.jsonl'}", peft=peft, **blocks)


def four_bit(model: Any) -> set[str]:
    """The parameters that are held in four bits, without their place in the model."""
    return {name.split(".")[-3] for name, one in model.named_parameters() if hasattr(one, "quant_state")}


def test_what_is_trained_in_full_keeps_its_type(place: Path) -> None:
    from tests.trainer.learn import trainer

    model = trainer(classifies(place), place).model

    whole = {name for name, one in model.named_parameters() if one.requires_grad and "lora" not in name}
    assert (four_bit(model), {name.split(".")[-4] for name in whole}) == (
        {"query", "key", "value", "dense"},
        {"dense", "classifier"},
    )


@pytest.fixture(scope="module")
def in_four_bits(place: Path) -> None:
    """Put `llama-4bit` there, whose files are in four bits."""
    import transformers

    wanted = transformers.BitsAndBytesConfig(load_in_4bit=True)
    made = transformers.AutoModelForCausalLM.from_pretrained(place / "llama", quantization_config=wanted)
    made.save_pretrained(place / "llama-4bit")
    transformers.AutoTokenizer.from_pretrained(place / "llama").save_pretrained(place / "llama-4bit")


@pytest.mark.usefixtures("in_four_bits")
@pytest.mark.parametrize("model", ["llama", "gpt2", "llama-4bit"])
def test_a_merged_model_is_whole_and_says_what_its_adapter_said(model: str, place: Path, tmp_path: Path) -> None:
    from finetune_trainer.models.adapters import save_final
    from transformers import AutoModelForCausalLM

    from tests.trainer.learn import trainer

    job = writes(place, model)
    made = trainer(job, tmp_path)
    made.train()
    ids = torch.tensor([[1, 2, 3, 4]])
    said = made.model.eval()(input_ids=ids).logits

    save_final(made, tmp_path / "final", job)

    again = AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    settings = json.loads((tmp_path / "final" / "config.json").read_text())
    torch.testing.assert_close(again(input_ids=ids).logits, said)
    assert "quantization_config" not in settings


def test_four_accumulated_passes_are_one_pass_of_four_times_the_examples(place: Path) -> None:
    from tests.trainer.learn import logged

    at_once = logged(classifies(place, training=FEW), place)
    batches = FEW | {"per_device_train_batch_size": 2}

    accumulated = logged(classifies(place, training=batches, globalBatchSize=8), place)

    assert accumulated == [pytest.approx(row, rel=1e-4) for row in at_once]


def test_four_bit_weights_are_counted_as_what_they_stand_for(place: Path) -> None:
    from finetune_trainer.distributed.sharing import num_weights
    from finetune_trainer.models import model
    from transformers import AutoModelForCausalLM

    lora = writes(place, "llama", {**QLORA, "method": "lora"})

    counts = {num_weights(model(job, AutoModelForCausalLM, None)) for job in (lora, writes(place, "llama"))}

    assert len(counts) == 1


@pytest.mark.parametrize(
    ("training", "wanted", "expected"),
    [({}, {}, "float32"), ({"bf16": True}, {}, "bfloat16"), ({"bf16": True}, {"computeDtype": "float16"}, "float16")],
    ids=["as the model", "as mixed precision", "as the job says"],
)
def test_four_bit_weights_are_multiplied_in_a_type(
    training: dict[str, Any], wanted: dict[str, Any], expected: str
) -> None:
    job = tiny.config(training=training)

    assert quantized.compute_dtype(job, Quantization.model_validate(wanted), "torch.float32") == expected


@pytest.mark.parametrize(
    ("own", "peft", "words"),
    [
        ({"quant_method": "gptq", "bits": 4}, {"method": "qlora"}, "are quantized (gptq), and no adapter of ours"),
        (IN_FOUR_BITS, {"method": "lora"}, "are in four bits, on which only peft.method: qlora trains. Use it"),
        (IN_FOUR_BITS, {"method": "qlora", "quantization": {}}, "in four bits already, in their own way. Leave out"),
    ],
    ids=["another quantization", "four bits without qlora", "four bits quantized again"],
)
def test_files_that_are_quantized_otherwise_are_refused(own: dict[str, Any], peft: dict[str, Any], words: str) -> None:
    from transformers import LlamaConfig

    with pytest.raises(ConfigurationError) as raised:
        quantized.refuse_other(LlamaConfig(quantization_config=own), tiny.config(peft=peft))

    assert words in raised.value.message


def test_a_device_without_four_bit_weights_is_said_so() -> None:
    with pytest.raises(ConfigurationError) as raised:
        quantized.refuse_lacking(torch.device("mps"), Quantization())

    assert "bitsandbytes, which does not run on this node's mps device: " in raised.value.message


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier's beginning with matrices of 4,096 elements; of smaller ones no state is held in eight bits."""
    import transformers

    folder = tmp_path_factory.mktemp("wide")
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    tiny.tokenizer().save_pretrained(folder)
    transformers.set_seed(3)
    transformers.BertModel(transformers.BertConfig(vocab_size=32, **sizes)).save_pretrained(folder)
    return f"file://{folder}"


def test_an_optimizer_in_eight_bits_is_exact_over_restarts(job: Job, place: Path, wide: str) -> None:
    data = {"uri": f"file://{place / 'rows.jsonl'}", "splits": {"evaluation": "train[:8]"}}
    training = {"max_steps": 12, "optim": "adamw_8bit", "dataloader_num_workers": 0}
    wanted = changed({**job.config, "model": {"uri": wide, "dtype": "bfloat16"}, "dataset": data}, training=training)
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    again = replace(job, config=wanted, folder=job.folder / "again")

    assert result(again.disturbed((8,), "SIGKILL")) == result(plain)
    kept = torch.load(again.checkpoints()[0] / "optimizer.pt", weights_only=True)["state"].values()
    eight_bit = [state["__bnb_optimizer_quant_state__"]["state1"].dtype == torch.uint8 for state in kept]
    assert sum(eight_bit) >= 4
