"""What may not be edited once a checkpoint exists: whatever changes the mathematics.

These rules stand at the root of the schema, the only place that sees the status.
"""

from finetune_trainer.contract.free_arguments import FREE_TO_CHANGE
from finetune_trainer.contract.training_arguments import TrainingArguments

from finetune_operator.api.rule import Rule

FIXED_ARGUMENTS = tuple(name for name in TrainingArguments.model_fields if name not in FREE_TO_CHANGE)

NO_CHECKPOINT = "!has(oldSelf.status) || !has(oldSelf.status.checkpoint)"
ALLOWED = "(has(self.spec.checkpoint.allowChange) && self.spec.checkpoint.allowChange)"

BLOCKS = (
    "task",
    "model",
    "dataset",
    "program",
    "tokenizer",
    "globalBatchSize",
    "peft",
    "preference",
    "distributed",
    "extensions.collator",
    "extensions.optimizer",
    "extensions.loss",
    "compute.nodes",
    "compute.gpusPerNode",
)


def fixed(field: str, same: str) -> Rule:
    """A field that training has been going on with."""
    return Rule(
        at="",
        rule=f"{NO_CHECKPOINT} || {ALLOWED} || ({same})",
        message=f"{field} cannot change once there is a checkpoint, for training goes on from it; create another job, "
        "or set checkpoint.allowChange: true.",
        field=f".spec.{field}",
    )


def same(field: str) -> str:
    """Whether a field is what it was, absence included; CEL's optional types are shorter, at an unbounded cost."""
    now, before = f"self.{field}", f"oldSelf.{field}"
    return f"(has({now}) == has({before}) && (!has({now}) || {now} == {before}))"


RULES = (
    *(fixed(block, same(f"spec.{block}")) for block in BLOCKS),
    fixed("training", " && ".join(same(f"spec.training.{name}") for name in FIXED_ARGUMENTS)),
)
