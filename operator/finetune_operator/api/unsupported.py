"""What the resource declares and nobody has built yet, as one table; a job that asks for it is stalled."""

from collections.abc import Callable
from dataclasses import dataclass

from finetune_operator.api.admission import Violation
from finetune_operator.api.program_rules import idle
from finetune_operator.api.v1alpha1 import FineTuneJobSpec

REASON = "Unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One thing that is declared but not built."""

    field: str
    """The field that asks for it."""
    message: str
    """What does not work yet, then the next step."""
    is_asked_for: Callable[[FineTuneJobSpec], bool]
    """Whether a job asks for it."""


def is_in_zero_3(spec: FineTuneJobSpec) -> bool:
    """Whether each process is to hold a part of the model, by DeepSpeed."""
    deepspeed = spec.distributed.deepspeed
    return deepspeed is not None and deepspeed.zero_stage == 3


TABLE = (
    Feature(
        field="spec.training.torch_compile",
        message="Compiled models do not resume bit for bit; leave it out, with its backend and mode.",
        is_asked_for=lambda spec: bool(
            spec.training.torch_compile or spec.training.torch_compile_backend or spec.training.torch_compile_mode
        ),
    ),
    Feature(
        field="spec.training.use_liger_kernel",
        message="Liger's kernels are compiled as they are first used, and the image has no compiler; leave it out.",
        is_asked_for=lambda spec: bool(spec.training.use_liger_kernel),
    ),
    Feature(
        field="spec.peft.method",
        message="Weights in four bits cannot be loaded into ZeRO-3 by transformers, nor taken up again in FSDP by "
        "torch; use distributed.ddp, ZeRO-1 or 2, or lora.",
        is_asked_for=lambda spec: (
            spec.peft is not None
            and spec.peft.method == "qlora"
            and (spec.distributed.fsdp is not None or is_in_zero_3(spec))
        ),
    ),
    Feature(
        field="spec.compute.minNodes",
        message="Going on with fewer nodes is not built; leave it out.",
        is_asked_for=lambda spec: spec.compute.min_nodes is not None,
    ),
    Feature(
        field="spec.queueName",
        message="Admission by Kueue is not built; leave it out, or suspend the job by hand.",
        is_asked_for=lambda spec: spec.queue_name is not None,
    ),
)
"""In the order in which a reader meets the fields."""


def unsupported(spec: FineTuneJobSpec) -> tuple[Violation, ...]:
    """What a job asks for that nothing would do, in the table's order; empty when the job can run."""
    unbuilt = (Violation(field=f.field, message=f.message) for f in TABLE if f.is_asked_for(spec))
    return (*unbuilt, *idle(spec))
