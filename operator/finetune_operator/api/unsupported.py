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


def is_of_32_bits(spec: FineTuneJobSpec) -> bool:
    """Whether a job's model is loaded in 32 bits."""
    return spec.model is None or spec.model.dtype == "float32"


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
        field="spec.distributed.deepspeed.zeroStage",
        message="With peft, packing or preference, stages 1 and 2 are built; use one of them.",
        is_asked_for=lambda spec: (
            (spec.peft is not None or spec.tokenizer.packing or spec.task == "preference")
            and spec.distributed.deepspeed is not None
            and spec.distributed.deepspeed.zero_stage == 3
        ),
    ),
    Feature(
        field="spec.distributed.fsdp",
        message="With FSDP, preferences, QLoRA, DoRA, output.merged and adapters on a model.dtype of 16 bits are not "
        "built; use distributed.ddp, or ZeRO.",
        is_asked_for=lambda spec: (
            spec.distributed.fsdp is not None
            and (
                spec.task == "preference"
                or spec.output.merged
                or (spec.peft is not None and (spec.peft.method != "lora" or not is_of_32_bits(spec)))
            )
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
