"""What may not be edited once a checkpoint exists: whatever changes the mathematics.

These rules stand at the root of the schema, the only place that sees the status.
"""

from finetune_trainer.contract.training_arguments import TrainingArguments

from finetune_operator.api.rule import Rule

FREE_TO_CHANGE = frozenset({
    "logging_strategy", "logging_steps", "logging_first_step", "log_on_each_node", "log_level", "log_level_replica",
    "disable_tqdm", "skip_memory_metrics", "save_strategy", "save_steps", "save_total_limit", "eval_strategy",
    "eval_steps", "eval_delay", "eval_on_start", "per_device_eval_batch_size", "prediction_loss_only",
    "eval_use_gather_object", "eval_accumulation_steps", "load_best_model_at_end", "metric_for_best_model",
    "greater_is_better", "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers",
    "dataloader_prefetch_factor", "dataloader_multiprocessing_context", "ddp_timeout", "ddp_bucket_cap_mb",
    "torch_empty_cache_steps", "logging_nan_inf_filter", "include_num_input_tokens_seen", "debug",
})  # fmt: skip
"""Arguments that change what is said, measured or kept, or how fast, but not what is learned."""

FIXED_ARGUMENTS = tuple(name for name in TrainingArguments.model_fields if name not in FREE_TO_CHANGE)

NO_CHECKPOINT = "!has(oldSelf.status) || !has(oldSelf.status.checkpoint)"
ALLOWED = "(has(self.spec.checkpoint.allowChange) && self.spec.checkpoint.allowChange)"

BLOCKS = (
    "task",
    "model",
    "dataset",
    "tokenizer",
    "globalBatchSize",
    "peft",
    "distributed",
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
