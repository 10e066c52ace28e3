"""Placeholder until `make generate` writes it from transformers.TrainingArguments."""

from pydantic import ConfigDict

from finetune_trainer.contract.model import Model


class TrainingArguments(Model):
    """transformers.TrainingArguments, by their own names."""

    model_config = ConfigDict(alias_generator=None, extra="allow")
