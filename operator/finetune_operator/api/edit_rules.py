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


def same(field: str) -> str:
    """Whether a field is what it was, absence included; CEL's optional types are shorter, at an unbounded cost."""
    now, before = f"self.{field}", f"oldSelf.{field}"
    return f"(has({now}) == has({before}) && (!has({now}) || {now} == {before}))"


SAME = {block: same(f"spec.{block}") for block in BLOCKS} | {
    "training": " && ".join(same(f"spec.training.{name}") for name in FIXED_ARGUMENTS)
}
CHANGED = " + ".join(f"(({unchanged}) ? '' : ', {field}')" for field, unchanged in SAME.items())
WHY = (
    "cannot change once there is a checkpoint, for training goes on from it; create another job, or set "
    "checkpoint.allowChange: true."
)

RULES = (
    # One rule for all fields: each write of a status is judged, too, and of that it costs the API server a comparison.
    Rule(
        at="",
        rule=f"{NO_CHECKPOINT} || self.spec == oldSelf.spec || {ALLOWED} || ({' && '.join(SAME.values())})",
        message=f"{', '.join(BLOCKS)} and training {WHY}",
        message_expression=f"({CHANGED}).substring(2) + ' {WHY}'",
        field=".spec",
    ),
)
