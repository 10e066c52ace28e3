"""What each field of transformers.TrainingArguments does, in one sentence of ours; and the type of those with several.

The generator appends the default. A field that is neither here nor refused fails the generation: somebody must decide.
"""

from collections.abc import Mapping
from types import MappingProxyType

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        # The run.
        "num_train_epochs": "How often the training data are passed over; a fraction is allowed.",
        "max_steps": "The number of optimizer steps; when positive it comes before num_train_epochs.",
        "per_device_train_batch_size": "Examples that one process takes in one forward pass.",
        "gradient_accumulation_steps": "Forward passes whose gradients are summed before the optimizer steps.",
        "seed": "The seed of initialization, dropout and, unless data_seed is set, the order of the data.",
        "data_seed": "The seed of the order of the data.",
        "full_determinism": "Whether only deterministic kernels are used, which are slower.",
        # The optimizer.
        "learning_rate": "The highest learning rate, reached after warm-up.",
        "lr_scheduler_type": "The course of the learning rate after warm-up.",
        "lr_scheduler_kwargs": "Further parameters of the learning rate's course.",
        "warmup_steps": "Steps in which the learning rate rises from zero; below 1 it is the share of all steps.",
        "optim": "The optimizer; those of other packages need an image that has the package.",
        "optim_args": "Further parameters of the optimizer, as name=value pairs with commas between.",
        "optim_target_modules": "Names of the modules that GaLore and APOLLO optimize.",
        "weight_decay": "The decoupled weight decay; biases and normalization weights have none.",
        "adam_beta1": "The decay of Adam's first moment.",
        "adam_beta2": "The decay of Adam's second moment.",
        "adam_epsilon": "The constant in Adam's denominator.",
        "max_grad_norm": "The norm to which gradients are clipped; 0 clips nothing.",
        "average_tokens_across_devices": "Whether the loss is divided by the tokens of all processes, not of each.",
        "label_smoothing_factor": "The probability that label smoothing takes from the right label.",
        "neftune_noise_alpha": "The strength of the noise that NEFTune adds to embeddings.",
        # Precision and memory.
        "bf16": "Whether training uses bfloat16 mixed precision.",
        "fp16": "Whether training uses float16 mixed precision with loss scaling.",
        "bf16_full_eval": "Whether evaluation runs wholly in bfloat16.",
        "fp16_full_eval": "Whether evaluation runs wholly in float16.",
        "tf32": "Whether matrix products of float32 may use TF32.",
        "activation_checkpointing": "Whether activations are computed again in the backward pass, to save memory.",
        "activation_checkpointing_kwargs": "Its parameters, for example every_n_layers or offload.",
        "gradient_checkpointing": "The older name of activation_checkpointing.",
        "gradient_checkpointing_kwargs": "The older name of activation_checkpointing_kwargs.",
        "torch_compile": "Whether the model is compiled with torch.compile.",
        "torch_compile_backend": "The backend of torch.compile; setting it compiles the model.",
        "torch_compile_mode": "The mode of torch.compile; setting it compiles the model.",
        "use_liger_kernel": "Whether Liger's Triton kernels replace the model's own.",
        "liger_kernel_config": "Which of Liger's kernels are used, each true or false.",
        "use_cache": "Whether the model keeps keys and values while it trains; some PEFT methods need it.",
        "torch_empty_cache_steps": "The interval in steps at which the device's cache is emptied.",
        # Logging.
        "logging_strategy": "When metrics are logged.",
        "logging_steps": "The interval between logs in steps; below 1 it is the share of all steps.",
        "logging_first_step": "Whether the first step is logged too.",
        "log_on_each_node": "Whether each node writes log lines, or the first alone.",
        "logging_nan_inf_filter": "Whether a loss that is not finite is left out of the logged mean.",
        "include_num_input_tokens_seen": "Whether tokens are counted: all, those that are not padding, or none.",
        "log_level": "The level of transformers' log lines on the first process.",
        "log_level_replica": "The level of transformers' log lines on the other processes.",
        "disable_tqdm": "Whether the progress bar is left out of the pod's output.",
        "skip_memory_metrics": "Whether memory is left out of the metrics.",
        # Evaluation.
        "eval_strategy": "When the model is evaluated.",
        "eval_steps": "The interval between evaluations in steps; below 1 it is the share of all steps.",
        "eval_delay": "Epochs or steps, by eval_strategy, before the first evaluation.",
        "eval_on_start": "Whether the model is evaluated before the first step.",
        "per_device_eval_batch_size": "Examples that one process takes in one forward pass of evaluation.",
        "prediction_loss_only": "Whether evaluation yields the loss alone.",
        "eval_use_gather_object": "Whether predictions are gathered as Python objects, not tensors.",
        "eval_accumulation_steps": "Evaluation batches after which predictions move from the device to memory.",
        "load_best_model_at_end": "Whether the final model is the best one evaluated, not the last.",
        "metric_for_best_model": "The metric that decides which model is best.",
        "greater_is_better": "Whether a larger metric is better.",
        # Saving. Recovery checkpoints are apart: spec.checkpoint.
        "save_strategy": "When the model is saved, beside the recovery checkpoints of spec.checkpoint.",
        "save_steps": "The interval between saves in steps; below 1 it is the share of all steps.",
        "save_total_limit": "How many saves are kept on the pod's disk.",
        # Data.
        "dataloader_drop_last": "Whether a last batch that is not full is dropped.",
        "dataloader_num_workers": "Processes that load data, for each training process.",
        "dataloader_pin_memory": "Whether batches are put into pinned memory.",
        "dataloader_persistent_workers": "Whether loading processes live on between epochs.",
        "dataloader_prefetch_factor": "Batches that each loading process prepares ahead.",
        "dataloader_multiprocessing_context": "How loading processes are started.",
        "dataloader_in_order": "Whether batches come in the order in which they were asked for.",
        "remove_unused_columns": "Whether columns that the model does not take are removed.",
        "train_sampling_strategy": "The order of the training data; group_by_length is refused: it resumes inexactly.",
        "length_column_name": "The column that holds lengths for batch_rebalance.",
        # Distribution.
        "ddp_bucket_cap_mb": "The size in MiB of the buckets in which DDP reduces gradients.",
        "ddp_broadcast_buffers": "Whether DDP broadcasts buffers at each forward pass.",
        "ddp_static_graph": "Whether DDP may assume that the graph never changes.",
        "ddp_timeout": "Seconds after which a collective operation fails.",
        "accelerator_config": "Settings of Accelerate's data loading, for example split_batches.",
        "debug": "Debugging aids, for example underflow_overflow.",
    }
)

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "include_num_input_tokens_seen": 'Literal["no", "all", "non_padding"]',
        "train_sampling_strategy": 'Literal["random", "sequential", "batch_rebalance", "group_by_length"]',
        "log_level": 'Literal["debug", "info", "warning", "error", "critical", "passive"]',
        "log_level_replica": 'Literal["debug", "info", "warning", "error", "critical", "passive"]',
        "dataloader_multiprocessing_context": 'Literal["fork", "spawn", "forkserver"]',
        "optim_target_modules": "tuple[str, ...]",
        "debug": "str",
        "liger_kernel_config": "dict[str, bool]",
    }
)
"""One type for each field that transformers declares as a union, or wider than it means."""

DEFAULTS: Mapping[str, object] = MappingProxyType({"ddp_timeout": 14400})
"""What the trainer says in transformers' place where the job says nothing."""

BOUNDS: Mapping[str, str] = MappingProxyType(
    {
        "num_train_epochs": "gt=0",
        "per_device_train_batch_size": "ge=1",
        "per_device_eval_batch_size": "ge=1",
        "gradient_accumulation_steps": "ge=1",
        "max_steps": "ge=-1",
        "learning_rate": "ge=0",
        "weight_decay": "ge=0",
        "adam_beta1": "ge=0, lt=1",
        "adam_beta2": "ge=0, lt=1",
        "adam_epsilon": "gt=0",
        "max_grad_norm": "ge=0",
        "label_smoothing_factor": "ge=0, lt=1",
        "warmup_steps": "ge=0",
        "logging_steps": "gt=0",
        "eval_steps": "gt=0",
        "save_steps": "gt=0",
        "eval_delay": "ge=0",
        "eval_accumulation_steps": "ge=1",
        "save_total_limit": "ge=1",
        "torch_empty_cache_steps": "ge=1",
        "dataloader_num_workers": "ge=0",
        "dataloader_prefetch_factor": "ge=1",
        "ddp_bucket_cap_mb": "ge=1",
        "ddp_timeout": "ge=1",
        "seed": "ge=0",
        "data_seed": "ge=0",
    }
)
"""What transformers or torch would refuse only when the pod runs."""
