"""DeepSpeed ZeRO: what it is told, what of a user's own configuration it may be told, and how it starts.

What spec.training says is said once: a whole configuration has "auto" there, or the same value. What a checkpoint
would not hold, or what would be compiled as training starts, is refused.
"""

import argparse
import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_trainer.contract.distribution import DeepSpeed
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.pod.ports import free_port

WHERE = "distributed.deepspeed.config"
STAGES = (1, 2, 3)
GATHER = "stage3_gather_16bit_weights_on_model_save"
"""Without it a stage 3 model would be saved in pieces that nothing but DeepSpeed reads."""
KNOWN = frozenset(
    {
        *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"),
        *("bf16", "fp16", "zero_optimization", "zero_allow_untested_optimizer", "communication_data_type"),
        *("data_types", "prescale_gradients", "gradient_predivide_factor", "seq_parallel_communication_data_type"),
        *("steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state", "comms_logger"),
    }
)
"""Sections that change what DeepSpeed does and leave nothing behind that a checkpoint does not hold."""
KNOWN_OF_ZERO = frozenset(
    {
        *("stage", "contiguous_gradients", "overlap_comm", "reduce_scatter", "reduce_bucket_size"),
        *("allgather_partitions", "allgather_bucket_size", "use_multi_rank_bucket_allreduce", "sub_group_size"),
        *("round_robin_gradients", "ignore_unused_parameters", "memory_efficient_linear", GATHER),
        *("stage3_prefetch_bucket_size", "stage3_param_persistence_threshold", "stage3_model_persistence_threshold"),
        *("stage3_max_live_parameters", "stage3_max_reuse_distance", "stage3_module_granularity_threshold"),
        *("stage3_use_all_reduce_for_fetch_params", "stage3_allgather_sequential"),
    }
)
INSTEAD: Mapping[str, str] = {
    "optimizer": "Choose it with training.optim, training.learning_rate and training.weight_decay",
    "scheduler": "Choose it with training.lr_scheduler_type and training.warmup_steps",
    "checkpoint": "Leave it out: how checkpoints are written and read follows from the job",
    "activation_checkpointing": "Use training.gradient_checkpointing",
    "wandb": "Use spec.wandb",
}
"""What to do instead of a section that is not known."""
READ_UNIVERSAL: Mapping[str, Any] = {"checkpoint": {"load_universal": True}}
"""Has DeepSpeed read what `make_universal` wrote."""
OTHERWISE = "Leave it out: it has not been shown to resume exactly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the rest of the job says about a value that DeepSpeed's configuration has too."""

    field: str
    """The field that says it."""
    value: Any
    """What it comes to."""


def settings(wanted: DeepSpeed, said: Mapping[str, Said]) -> dict[str, Any]:
    """DeepSpeed's configuration; `said` has, by their place in it, the values that transformers fills in for `auto`."""
    if wanted.config and wanted.zero_stage is not None:
        raise ConfigurationError(
            "DeepSpeedContradicted", "distributed.deepspeed has zeroStage and config. Leave one of the two out."
        )
    if not wanted.config and wanted.zero_stage is None:
        raise ConfigurationError("DeepSpeedUnsaid", "distributed.deepspeed is empty. Set zeroStage to 1, 2 or 3.")
    whole: dict[str, Any] = {name: _copied(value) for name, value in wanted.config.items()}
    if wanted.config:
        _refuse_unknown(whole)
        _refuse_contradictions(whole, said)
    zero = whole.setdefault(
        "zero_optimization", {"stage": wanted.zero_stage, "contiguous_gradients": True, "overlap_comm": False}
    )
    if zero["stage"] == 3:
        zero[GATHER] = True
    for place in said:
        _put(whole, place, "auto")
    # The optimizer is torch's own, so nothing is compiled; DeepSpeed has not tested it with ZeRO, our tests do.
    return {**whole, "zero_allow_untested_optimizer": True}


def stage(wanted: DeepSpeed | None) -> Any:
    """The stage that a job names, in whichever way; none without DeepSpeed."""
    if wanted is None or wanted.zero_stage is not None:
        return wanted and wanted.zero_stage
    zero = wanted.config.get("zero_optimization")
    return zero.get("stage") if isinstance(zero, Mapping) else None


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _put(whole: dict[str, Any], place: str, value: Any) -> None:
    section, _, name = place.rpartition(".")
    (whole.setdefault(section, {}) if section else whole)[name] = value


def _refuse_unknown(whole: Mapping[str, Any]) -> None:
    zero = whole.get("zero_optimization")
    if not isinstance(zero, Mapping) or zero.get("stage") not in STAGES:
        raise ConfigurationError(
            "DeepSpeedStageUnsaid",
            f"{WHERE}.zero_optimization.stage is not 1, 2 or 3. Write one of them, or use distributed.ddp.",
        )
    unknown = [name for name in whole if name not in KNOWN]
    unknown += [f"zero_optimization.{name}" for name in zero if name not in KNOWN_OF_ZERO]
    for name in unknown:
        raise ConfigurationError(
            "DeepSpeedSectionRefused", f"{WHERE}.{name} is not supported. {INSTEAD.get(name, OTHERWISE)}."
        )
    if zero.get(GATHER) is False:
        raise ConfigurationError(
            "DeepSpeedSectionRefused",
            f"{WHERE}.zero_optimization.{GATHER} is false, and the model could not be published. Leave it out.",
        )


def _refuse_contradictions(whole: Mapping[str, Any], said: Mapping[str, Said]) -> None:
    for place, mine in said.items():
        for own in _found(whole, place):
            if own not in ("auto", mine.value):
                raise ConfigurationError(
                    "DeepSpeedContradicted",
                    f'{WHERE}.{place} is {own}, and {mine.field} comes to {mine.value}. Write "auto" there, and the '
                    f"value in {mine.field}.",
                )


def _found(whole: Mapping[str, Any], place: str) -> Iterator[Any]:
    section, _, name = place.rpartition(".")
    inside = whole.get(section, {}) if section else whole
    if not isinstance(inside, Mapping):
        raise ConfigurationError(
            "DeepSpeedSectionRefused",
            f"{WHERE}.{section} is not a section. Write it as DeepSpeed's documentation has it.",
        )
    if name in inside:
        yield inside[name]


def make_ready(*, cpu: bool) -> None:
    """Before the processes meet: keep DeepSpeed from looking for MPI, and from compiling its CPU collective."""
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    for name, value in {**alone, "MASTER_PORT": str(free_port())}.items():
        os.environ.setdefault(name, value)
    if cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        # The count that it finds without numactl; else it starts that program in each step of ZeRO-3.
        os.environ.setdefault("LOCAL_SIZE", "1")
        import deepspeed.ops

        # Gloo does the same without.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def join(*, cpu: bool) -> None:
    """After the processes have met: tell DeepSpeed, whose stage 3 shares a model out as it is loaded."""
    if cpu:
        import deepspeed.comm

        deepspeed.comm.init_distributed(dist_backend="gloo", verbose=False)


def make_universal(folder: Path) -> None:
    """Rewrite the checkpoint in a folder so that any number of ranks can read it, beside what is there."""
    from deepspeed.checkpoint import ds_to_universal

    tag = (folder / "latest").read_text().strip()
    wanted = argparse.Namespace(
        input_folder=str(folder / tag),
        output_folder=str(folder / f"{tag}_universal"),
        # In this process: its children would import torch, and meet its other ranks' sockets.
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            ds_to_universal.main(wanted)
    except KeyError as problem:
        raise ConfigurationError(
            "CheckpointDoesNotFit",
            "Under DeepSpeed only Adam's state goes on with another number of processes. Set compute as it was, or "
            "create the job anew.",
        ) from problem
    (folder / "latest_universal").write_text(f"{tag}_universal")


@contextlib.contextmanager
def reading_universal() -> Iterator[None]:
    """Say what is wrong when DeepSpeed does not find a part for every process."""
    try:
        yield
    except IndexError as problem:
        raise ConfigurationError(
            "CheckpointDoesNotFit",
            "The model has a group of parameters that is too small for this number of processes: one would hold none "
            "of it, and DeepSpeed cannot go on so. Set compute as it was, or create the job anew.",
        ) from problem


def mend_optimizer(optimizer: Any, decays: Sequence[float]) -> None:
    """Undo what reading a universal checkpoint of stage 3 does: one weight decay, and one step counter, for all groups.

    A counter that is shared would be raised once for every group at each step.
    """
    for group, decay in zip(optimizer.param_groups, decays, strict=True):
        group["weight_decay"] = decay
    for state in optimizer.state.values():
        if hasattr(state.get("step"), "clone"):
            state["step"] = state["step"].clone()
