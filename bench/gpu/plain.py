"""`python -m bench.gpu.plain run.json FOLDER trainer|trl`: the same training by a script of a user's own.

With the stock Trainer or TRL's SFTTrainer, on the packed examples and by the collator that our trainer has.
"""

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import peft
import torch
import transformers
from finetune_trainer.data.packing import Sequences
from finetune_trainer.tasks.examples import rounded_to


def main() -> None:
    """Train what run.json says."""
    config, output, kind = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], sys.argv[3]
    place = Path(config["model"]["uri"].removeprefix("file://"))
    common = {
        **config["training"],
        "output_dir": f"{output}/output",
        "use_cpu": not torch.cuda.is_available(),
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    make = with_trainer if kind == "trainer" else with_trl
    args, trainer = make(common)
    trainer(
        model=model(place, config),
        args=args,
        train_dataset=datasets.load_from_disk(str(place.parent / "packs")),
        data_collator=Sequences(pad_token_id=tokenizer.pad_token_id, multiple_of=rounded_to(args)),
        processing_class=tokenizer,
    ).train()


def model(place: Path, config: dict[str, Any]) -> Any:
    """The model with an adapter."""
    transformers.set_seed(42)
    made = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=config["model"]["dtype"])
    if config["training"]["gradient_checkpointing"]:
        made.enable_input_require_grads()
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config["peft"]["r"],
        lora_alpha=config["peft"]["alpha"],
        target_modules="all-linear",
    )
    return peft.get_peft_model(made, settings)


def with_trainer(common: dict[str, Any]) -> tuple[Any, Any]:
    """The stock Trainer's arguments, and itself."""
    return transformers.TrainingArguments(**common), transformers.Trainer


def with_trl(common: dict[str, Any]) -> tuple[Any, Any]:
    """TRL's, told that the examples are ready."""
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    # Else it would take the positions away, by which the texts of a pack are told apart.
    ready: dict[str, Any] = {"dataset_kwargs": {"skip_prepare_dataset": True}, "remove_unused_columns": False}
    return SFTConfig(**common, **ready, max_length=None), SFTTrainer


if __name__ == "__main__":
    main()
