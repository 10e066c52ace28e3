"""Preferences: the loss is TRL's, the reference stays what the model was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import prepared

from tests.trainer import language, tiny

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with model and data."""
    return language.furnished(tmp_path_factory.mktemp("language"))


def whole(place: Path, **more: Any) -> RunConfig:
    training = {"per_device_train_batch_size": 8, "learning_rate": 1e-3, **more.pop("training", {})}
    base = tiny.config(training=training).model_dump(by_alias=True, exclude_unset=True)
    return RunConfig.model_validate({**base, **language.blocks(place, "pairs", **more)})


def ready(place: Path, folder: Path, **more: Any) -> Prepared:
    wished = whole(place, **more)
    wanted = plan(wished, 1)
    return prepared(wished, wanted, training_arguments(wanted, folder / "out"), folder / "cache")


def moved(made: Prepared) -> Prepared:
    """The task after its model has learned something."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in made.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def first_loss(made: Prepared) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    batch = made.collator([made.train_dataset[row] for row in range(8)])
    found = made.outputs(made.model, batch)
    return made.loss.total(found, batch["labels"], training=True) / made.loss.items(batch["labels"]), found


@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL asks transformers by older names.
@pytest.mark.parametrize("kind", ["sigmoid", "hinge", "ipo"])
def test_the_loss_is_that_of_trl(kind: str, place: Path, tmp_path: Path) -> None:
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    made = moved(ready(place, tmp_path, preference={"loss": kind, "beta": 0.2}))
    args = DPOConfig(
        output_dir=str(tmp_path / "trl"),
        loss_type=[kind],
        beta=0.2,
        use_cpu=True,
        bf16=False,
        report_to=[],
        max_length=512,
    )
    theirs = DPOTrainer(
        model=made.model,
        ref_model=AutoModelForCausalLM.from_pretrained(place / "llama"),
        args=args,
        train_dataset=load_dataset("json", data_files=str(place / "pairs" / "train.jsonl"), split="train"),
        processing_class=made.processing_class,
    )
    batch = theirs.data_collator([theirs.train_dataset[row] for row in range(8)])
    compute: Any = theirs.compute_loss
    wanted = compute(theirs.model, theirs._prepare_inputs(batch))

    assert first_loss(made)[0].item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("peft", [None, {"method": "lora", "dropout": 0.5, "r": 4}], ids=["a copy", "without adapter"])
def test_the_reference_is_the_model_as_it_was(peft: dict[str, Any] | None, place: Path, tmp_path: Path) -> None:
    made = ready(place, tmp_path, **({"peft": peft} if peft else {}))
    before = first_loss(made)[1]
    made.model.train()

    after = first_loss(moved(made))[1]

    assert before["policy"].equal(before["reference"])
    assert (after["reference"].equal(before["reference"]), after["policy"].equal(before["policy"])) == (True, False)
    assert made.model.training


def test_a_prompt_may_stand_in_a_column_of_its_own(place: Path, tmp_path: Path) -> None:
    rows = [{"question": " is the river", "chosen": " old .", "rejected": " small ."}] * 2
    columns = {"prompt": "question", "chosen": "chosen", "rejected": "rejected"}
    made = ready(place, tmp_path, data={"uri": tiny.jsonl_file(tmp_path / "rows.jsonl", rows), "columns": columns})

    batch = made.collator([made.train_dataset[0]])

    shown = made.processing_class.batch_decode(batch["input_ids"][0])
    learned = [made.processing_class.decode(one[one != -100]) for one in batch["labels"].reshape(2, -1)]
    assert (shown, learned) == (
        [" is the river old .<|im_end|>", " is the river small .<|im_end|>"],
        [" old .<|im_end|>", " small .<|im_end|>"],
    )


def test_label_smoothing_is_for_one_loss_alone(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ready(place, tmp_path, preference={"loss": "ipo"}, training={"label_smoothing_factor": 0.1})

    assert raised.value.reason == "TrainingArgumentsRefused"


@pytest.mark.parametrize("peft", [{}, {"peft": {"method": "lora"}}], ids=["whole", "adapter"])
def test_accumulated_pairs_cost_what_they_cost_at_once(peft: dict[str, Any], place: Path, tmp_path: Path) -> None:
    from tests.trainer.learn import logged

    steps = {"max_steps": 3, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 3, "save_strategy": "no"}
    at_once = logged(whole(place, training=steps, **peft), tmp_path)

    small = {**steps, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    assert logged(whole(place, training=small, **peft), tmp_path) == [pytest.approx(row, rel=1e-5) for row in at_once]
