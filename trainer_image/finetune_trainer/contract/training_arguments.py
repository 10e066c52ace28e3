"""transformers.TrainingArguments 5.23.0, typed and described. Written by `make generate`; do not edit.

Every field is optional: what is absent is transformers' default. What a job may not set is in `refused_arguments`.
"""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from finetune_trainer.contract.model import Model
from finetune_trainer.contract.refused_arguments import REFUSED

__all__ = ["REFUSED", "TRANSFORMERS_VERSION", "TrainingArguments", "arguments"]

TRANSFORMERS_VERSION = "5.23.0"
"""The version that this was written from."""


class TrainingArguments(Model):
    """transformers.TrainingArguments, by their own names."""

    model_config = ConfigDict(alias_generator=None)

    num_train_epochs: float | None = Field(default=None, gt=0)
    """How often the training data are passed over; a fraction is allowed. The default is 3.0."""
    max_steps: int | None = Field(default=None, ge=-1)
    """The number of optimizer steps; when positive it comes before num_train_epochs. The default is -1."""
    per_device_train_batch_size: int | None = Field(default=None, ge=1)
    """Examples that one process takes in one forward pass. The default is 8."""
    gradient_accumulation_steps: int | None = Field(default=None, ge=1)
    """Forward passes whose gradients are summed before the optimizer steps. The default is 1."""
    seed: int | None = Field(default=None, ge=0)
    """The seed of initialization, dropout and, unless data_seed is set, the order of the data. The default is 42."""
    data_seed: int | None = Field(default=None, ge=0)
    """The seed of the order of the data."""
    full_determinism: bool | None = None
    """Whether only deterministic kernels are used, which are slower. The default is false."""
    learning_rate: float | None = Field(default=None, ge=0)
    """The highest learning rate, reached after warm-up. The default is 5e-05."""
    lr_scheduler_type: Literal["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt", "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "greedy"] | None = None
    """The course of the learning rate after warm-up. The default is linear."""
    lr_scheduler_kwargs: dict[str, JsonValue] | None = None
    """Further parameters of the learning rate's course."""
    warmup_steps: float | None = Field(default=None, ge=0)
    """Steps in which the learning rate rises from zero; below 1 it is the share of all steps. The default is 0."""
    optim: Literal["adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused", "adafactor", "adamw_anyprecision", "adamw_torch_4bit", "adamw_torch_8bit", "ademamix", "sgd", "adagrad", "adamw_bnb_8bit", "adamw_8bit", "ademamix_8bit", "lion_8bit", "lion_32bit", "paged_adamw_32bit", "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "paged_lion_32bit", "paged_lion_8bit", "rmsprop", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit", "galore_adamw", "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise", "galore_adamw_8bit_layerwise", "galore_adafactor_layerwise", "lomo", "adalomo", "grokadamw", "schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd", "apollo_adamw", "apollo_adamw_layerwise", "stable_adamw"] | None = None
    """The optimizer; those of other packages need an image that has the package. The default is adamw_torch_fused."""
    optim_args: str | None = None
    """Further parameters of the optimizer, as name=value pairs with commas between."""
    optim_target_modules: tuple[str, ...] | None = None
    """Names of the modules that GaLore and APOLLO optimize."""
    weight_decay: float | None = Field(default=None, ge=0)
    """The decoupled weight decay; biases and normalization weights have none. The default is 0.0."""
    adam_beta1: float | None = Field(default=None, ge=0, lt=1)
    """The decay of Adam's first moment. The default is 0.9."""
    adam_beta2: float | None = Field(default=None, ge=0, lt=1)
    """The decay of Adam's second moment. The default is 0.999."""
    adam_epsilon: float | None = Field(default=None, gt=0)
    """The constant in Adam's denominator. The default is 1e-08."""
    max_grad_norm: float | None = Field(default=None, ge=0)
    """The norm to which gradients are clipped; 0 clips nothing. The default is 1.0."""
    average_tokens_across_devices: bool | None = None
    """Whether the loss is divided by the tokens of all processes, not of each. The default is true."""
    label_smoothing_factor: float | None = Field(default=None, ge=0, lt=1)
    """The probability that label smoothing takes from the right label. The default is 0.0."""
    neftune_noise_alpha: float | None = None
    """The strength of the noise that NEFTune adds to embeddings."""
    bf16: bool | None = None
    """Whether training uses bfloat16 mixed precision. The default is false."""
    fp16: bool | None = None
    """Whether training uses float16 mixed precision with loss scaling. The default is false."""
    bf16_full_eval: bool | None = None
    """Whether evaluation runs wholly in bfloat16. The default is false."""
    fp16_full_eval: bool | None = None
    """Whether evaluation runs wholly in float16. The default is false."""
    tf32: bool | None = None
    """Whether matrix products of float32 may use TF32."""
    activation_checkpointing: bool | None = None
    """Whether activations are computed again in the backward pass, to save memory."""
    activation_checkpointing_kwargs: dict[str, JsonValue] | None = None
    """Its parameters, for example every_n_layers or offload."""
    gradient_checkpointing: bool | None = None
    """The older name of activation_checkpointing."""
    gradient_checkpointing_kwargs: dict[str, JsonValue] | None = None
    """The older name of activation_checkpointing_kwargs."""
    torch_compile: bool | None = None
    """Whether the model is compiled with torch.compile. The default is false."""
    torch_compile_backend: str | None = None
    """The backend of torch.compile; setting it compiles the model."""
    torch_compile_mode: str | None = None
    """The mode of torch.compile; setting it compiles the model."""
    use_liger_kernel: bool | None = None
    """Whether Liger's Triton kernels replace the model's own. The default is false."""
    liger_kernel_config: dict[str, bool] | None = None
    """Which of Liger's kernels are used, each true or false."""
    use_cache: bool | None = None
    """Whether the model keeps keys and values while it trains; some PEFT methods need it. The default is false."""
    torch_empty_cache_steps: int | None = Field(default=None, ge=1)
    """The interval in steps at which the device's cache is emptied."""
    logging_strategy: Literal["no", "steps", "epoch"] | None = None
    """When metrics are logged. The default is steps."""
    logging_steps: float | None = Field(default=None, gt=0)
    """The interval between logs in steps; below 1 it is the share of all steps. The default is 500."""
    logging_first_step: bool | None = None
    """Whether the first step is logged too. The default is false."""
    log_on_each_node: bool | None = None
    """Whether each node writes log lines, or the first alone. The default is true."""
    logging_nan_inf_filter: bool | None = None
    """Whether a loss that is not finite is left out of the logged mean. The default is true."""
    include_num_input_tokens_seen: Literal["no", "all", "non_padding"] | None = None
    """Whether tokens are counted: all, those that are not padding, or none. The default is no."""
    log_level: Literal["debug", "info", "warning", "error", "critical", "passive"] | None = None
    """The level of transformers' log lines on the first process. The default is passive."""
    log_level_replica: Literal["debug", "info", "warning", "error", "critical", "passive"] | None = None
    """The level of transformers' log lines on the other processes. The default is warning."""
    disable_tqdm: bool | None = None
    """Whether the progress bar is left out of the pod's output."""
    skip_memory_metrics: bool | None = None
    """Whether memory is left out of the metrics. The default is true."""
    eval_strategy: Literal["no", "steps", "epoch"] | None = None
    """When the model is evaluated. The default is no."""
    eval_steps: float | None = Field(default=None, gt=0)
    """The interval between evaluations in steps; below 1 it is the share of all steps."""
    eval_delay: float | None = Field(default=None, ge=0)
    """Epochs or steps, by eval_strategy, before the first evaluation. The default is 0."""
    eval_on_start: bool | None = None
    """Whether the model is evaluated before the first step. The default is false."""
    per_device_eval_batch_size: int | None = Field(default=None, ge=1)
    """Examples that one process takes in one forward pass of evaluation. The default is 8."""
    prediction_loss_only: bool | None = None
    """Whether evaluation yields the loss alone. The default is false."""
    eval_use_gather_object: bool | None = None
    """Whether predictions are gathered as Python objects, not tensors. The default is false."""
    eval_accumulation_steps: int | None = Field(default=None, ge=1)
    """Evaluation batches after which predictions move from the device to memory."""
    load_best_model_at_end: bool | None = None
    """Whether the final model is the best one evaluated, not the last. The default is false."""
    metric_for_best_model: str | None = None
    """The metric that decides which model is best."""
    greater_is_better: bool | None = None
    """Whether a larger metric is better."""
    save_strategy: Literal["no", "steps", "epoch", "best"] | None = None
    """When the model is saved, beside the recovery checkpoints of spec.checkpoint. The default is steps."""
    save_steps: float | None = Field(default=None, gt=0)
    """The interval between saves in steps; below 1 it is the share of all steps. The default is 500."""
    save_total_limit: int | None = Field(default=None, ge=1)
    """How many saves are kept on the pod's disk."""
    dataloader_drop_last: bool | None = None
    """Whether a last batch that is not full is dropped. The default is false."""
    dataloader_num_workers: int | None = Field(default=None, ge=0)
    """Processes that load data, for each training process. The default is 0."""
    dataloader_pin_memory: bool | None = None
    """Whether batches are put into pinned memory. The default is true."""
    dataloader_persistent_workers: bool | None = None
    """Whether loading processes live on between epochs. The default is false."""
    dataloader_prefetch_factor: int | None = Field(default=None, ge=1)
    """Batches that each loading process prepares ahead."""
    dataloader_multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = None
    """How loading processes are started."""
    dataloader_in_order: bool | None = None
    """Whether batches come in the order in which they were asked for. The default is true."""
    remove_unused_columns: bool | None = None
    """Whether columns that the model does not take are removed. The default is true."""
    train_sampling_strategy: Literal["random", "sequential", "batch_rebalance", "group_by_length"] | None = None
    """The order of the training data; group_by_length is refused: it resumes inexactly. The default is random."""
    length_column_name: str | None = None
    """The column that holds lengths for batch_rebalance. The default is length."""
    ddp_bucket_cap_mb: int | None = Field(default=None, ge=1)
    """The size in MiB of the buckets in which DDP reduces gradients."""
    ddp_broadcast_buffers: bool | None = None
    """Whether DDP broadcasts buffers at each forward pass."""
    ddp_static_graph: bool | None = None
    """Whether DDP may assume that the graph never changes."""
    ddp_timeout: int | None = Field(default=None, ge=1)
    """Seconds after which a collective operation fails. The default is 14400."""
    accelerator_config: dict[str, JsonValue] | None = None
    """Settings of Accelerate's data loading, for example split_batches."""
    debug: str | None = None
    """Debugging aids, for example underflow_overflow."""

    @model_validator(mode="before")
    @classmethod
    def refused_names_say_what_to_use(cls, given: Any) -> Any:
        """Answer a refused name with its sentence rather than as unknown."""
        for name in given if isinstance(given, dict) else ():
            if name in REFUSED:
                raise ValueError(f"{name} is refused. {REFUSED[name]}")
        return given

    @model_validator(mode="after")
    def groups_by_length_are_refused(self) -> Self:
        """Refuse the one sampling strategy that does not resume at the same example."""
        if self.train_sampling_strategy == "group_by_length":
            raise ValueError(f"train_sampling_strategy: group_by_length is refused. {REFUSED['group_by_length']}")
        return self


def arguments(training: TrainingArguments) -> dict[str, Any]:
    """The arguments that a job sets, for transformers.TrainingArguments."""
    return training.model_dump(mode="json", exclude_none=True)
