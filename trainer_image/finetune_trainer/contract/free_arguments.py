"""Which training arguments may change between attempts: one table for the CRD's rules and the trainer's restore."""

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
