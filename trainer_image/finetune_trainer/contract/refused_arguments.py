"""Names that users of transformers may write under `training` and that mean something else here, or nothing any more.

Each has the sentence that the API server, `finetune validate` and the trainer answer with, and the JSON type under
which the CRD carries the name, so that the sentence can be said at all.
"""

from collections.abc import Mapping
from types import MappingProxyType

OWNED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "output_dir": ("string", "Leave it out: every attempt has a directory of its own."),
        "report_to": ("string", "Leave it out: runs go to W&B; set wandb.mode: disabled to send nothing."),
        "run_name": ("string", "Use spec.wandb.name."),
        "project": ("string", "Use spec.wandb.project."),
        "trackio_space_id": ("string", "Leave it out: runs go to W&B, not to Trackio."),
        "trackio_bucket_id": ("string", "Leave it out: runs go to W&B, not to Trackio."),
        "trackio_static_space_id": ("string", "Leave it out: runs go to W&B, not to Trackio."),
        "resume_from_checkpoint": (
            "string",
            "Leave it out: a job resumes from its own newest checkpoint; other weights go to spec.model.uri.",
        ),
        "enable_jit_checkpoint": (
            "boolean",
            "Leave it out: a pod that is asked to stop always takes a checkpoint; see spec.checkpoint.",
        ),
        "save_only_model": (
            "boolean",
            "Leave it out: a save without optimizer cannot be resumed from; the final model is published apart.",
        ),
        "save_on_each_node": ("boolean", "Leave it out: the nodes' files are gathered into one checkpoint."),
        "restore_callback_states_from_checkpoint": ("boolean", "Leave it out: callbacks are always restored."),
        "ignore_data_skip": (
            "boolean",
            "Leave it out: a resumed job goes on with the example after the last one it saw.",
        ),
        "auto_find_batch_size": (
            "boolean",
            "Use per_device_train_batch_size: a size that is found anew at each restart would change the mathematics.",
        ),
        "deepspeed": ("string", "Use spec.distributed.deepspeed."),
        "fsdp": ("string", "Use spec.distributed.fsdp."),
        "fsdp_config": ("object", "Use spec.distributed.fsdp.config."),
        "parallelism_config": ("object", "Use spec.distributed."),
        "ddp_find_unused_parameters": ("boolean", "Use spec.distributed.ddp.findUnusedParameters."),
        "ddp_backend": ("string", "Leave it out: it follows from spec.compute.gpusPerNode."),
        "local_rank": ("integer", "Leave it out: ranks follow from spec.compute.nodes and spec.compute.gpusPerNode."),
        "use_cpu": ("boolean", "Use spec.compute.gpusPerNode: 0."),
        "push_to_hub": ("boolean", "Use spec.output.hub."),
        "hub_model_id": ("string", "Use spec.output.hub.repo."),
        "hub_private_repo": ("boolean", "Use spec.output.hub.private."),
        "hub_token": ("string", "Use spec.hub.secretRef: a token does not belong into a job."),
        "hub_strategy": ("string", "Use spec.output.hub: the final model is pushed."),
        "hub_always_push": ("boolean", "Use spec.output.hub: the final model is pushed."),
        "hub_revision": ("string", "Use spec.output.hub: the final model is pushed to the default branch."),
        "do_train": ("boolean", "Leave it out: a job always trains."),
        "do_eval": ("boolean", "Use eval_strategy."),
        "do_predict": ("boolean", "Use spec.dataset.splits.test."),
        "label_names": ("array", "Use spec.dataset.columns: the task knows its labels."),
        "include_for_metrics": ("array", "Use spec.evaluation.metrics: the task takes what its metrics need."),
        "batch_eval_metrics": ("boolean", "Use eval_accumulation_steps to save memory."),
        "eval_do_concat_batches": ("boolean", "Leave it out: the task's metrics need whole columns."),
    }
)
"""Arguments that transformers has and that this product sets itself."""

REMOVED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "evaluation_strategy": ("string", "Use eval_strategy."),
        "overwrite_output_dir": ("boolean", "Leave it out: every attempt has a directory of its own."),
        "logging_dir": ("string", "Leave it out: logs go to W&B and to the pod's output."),
        "warmup_ratio": ("number", "Use warmup_steps: below 1 it is the share of all steps."),
        "group_by_length": (
            "boolean",
            "Use train_sampling_strategy: batch_rebalance, which resumes at the same example; groups by length do not.",
        ),
        "save_safetensors": ("boolean", "Leave it out: weights are always saved as safetensors."),
        "no_cuda": ("boolean", "Use spec.compute.gpusPerNode: 0."),
        "use_mps_device": ("boolean", "Leave it out: pods have CUDA devices or none."),
        "fp16_backend": ("string", "Leave it out: mixed precision is torch's own."),
        "half_precision_backend": ("string", "Leave it out: mixed precision is torch's own."),
        "fp16_opt_level": ("string", "Leave it out: mixed precision is torch's own; use fp16 or bf16."),
        "push_to_hub_model_id": ("string", "Use spec.output.hub.repo."),
        "push_to_hub_organization": ("string", "Use spec.output.hub.repo: owner/name."),
        "push_to_hub_token": ("string", "Use spec.hub.secretRef: a token does not belong into a job."),
        "include_inputs_for_metrics": ("boolean", "Use spec.evaluation.metrics: the task takes what its metrics need."),
        "include_tokens_per_second": ("boolean", "Use include_num_input_tokens_seen."),
        "past_index": ("integer", "Leave it out: transformers no longer has it."),
        "ray_scope": ("string", "Leave it out: transformers no longer has it."),
        "jit_mode_eval": ("boolean", "Use torch_compile."),
        "use_ipex": ("boolean", "Leave it out: transformers no longer has it."),
        "torchdynamo": ("string", "Use torch_compile_backend."),
        "tpu_num_cores": ("integer", "Leave it out: pods have CUDA devices or none."),
        "tpu_metrics_debug": ("boolean", "Leave it out: pods have CUDA devices or none."),
        "mp_parameters": ("string", "Leave it out: transformers no longer has it."),
        "split_batches": ("boolean", "Use accelerator_config."),
        "dispatch_batches": ("boolean", "Use accelerator_config."),
        "fsdp_min_num_params": ("integer", "Use spec.distributed.fsdp.config."),
        "fsdp_transformer_layer_cls_to_wrap": ("string", "Use spec.distributed.fsdp.config."),
        "per_gpu_train_batch_size": ("integer", "Use per_device_train_batch_size."),
        "per_gpu_eval_batch_size": ("integer", "Use per_device_eval_batch_size."),
        "adafactor": ("boolean", "Use optim: adafactor."),
        "sharded_ddp": ("string", "Use spec.distributed."),
        "neftune_alpha": ("number", "Use neftune_noise_alpha."),
        "tokenizer": ("string", "Use spec.tokenizer."),
    }
)
"""Arguments that transformers had, or that are often mistaken for arguments."""

REFUSED: Mapping[str, str] = MappingProxyType({name: sentence for name, (_, sentence) in {**OWNED, **REMOVED}.items()})
"""The sentence for each refused name."""
