"""What is trained, ready to run: the model, the data and the loss of the task, in a Trainer that can be interrupted."""

from dataclasses import dataclass
from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.surroundings import Surroundings
from finetune_trainer.trainer import RecoverableTrainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A Trainer with everything but the recovery around it."""

    trainer: RecoverableTrainer
    fingerprint: str
    settings: dict[str, Any]


def arguments(config: RunConfig, here: Surroundings) -> Any:
    """Interim: a tiny model of this file's own, until the tasks are there."""
    import transformers

    raw = config.training.model_dump(exclude_unset=True)
    return transformers.TrainingArguments(**raw, output_dir=str(here.output_dir), report_to="none", use_cpu=True)


def work(config: RunConfig, args: Any) -> Work:
    """Interim: a tiny model of this file's own, until the tasks are there."""
    import torch
    import transformers

    transformers.set_seed(args.seed)
    c = transformers.BertConfig(vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=32, num_labels=2)
    model = transformers.BertForSequenceClassification(c)
    g = torch.Generator().manual_seed(1)
    data = [{"input_ids": torch.randint(1, 99, (8,), generator=g), "labels": torch.tensor(i % 2)} for i in range(40)]
    tr = RecoverableTrainer(model=model, args=args, train_dataset=data, eval_dataset=data[:8])
    return Work(trainer=tr, fingerprint="x", settings=args.to_sanitized_dict())
