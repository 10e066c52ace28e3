"""`python -m bench.bare_trainer run.json FOLDER`: the script that a user would write with the stock Trainer alone."""

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import transformers


def main() -> None:
    """Train what run.json says."""
    config, folder = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]
    model_folder = config["model"]["uri"].removeprefix("file://")
    rows = datasets.load_dataset(
        "csv", data_files=config["dataset"]["uri"].removeprefix("file://"), cache_dir=f"{folder}/cache"
    )["train"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)

    def tokens(batch: dict[str, Any]) -> Any:
        return tokenizer(batch["text"], truncation=True)

    arguments = transformers.TrainingArguments(
        output_dir=f"{folder}/output",
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **config["training"],
    )
    trainer = transformers.Trainer(
        model=transformers.AutoModelForSequenceClassification.from_pretrained(model_folder, num_labels=2),
        args=arguments,
        train_dataset=rows.map(tokens, batched=True).remove_columns(["text"]),
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    trainer.train()


if __name__ == "__main__":
    main()
