"""What goes with a program of the author's own: either that, or something to train."""

from collections.abc import Iterator

from finetune_trainer.contract.run_config import CommonRun, RunConfig
from pydantic.alias_generators import to_camel

from finetune_operator.api.admission import Violation
from finetune_operator.api.rule import Rule
from finetune_operator.api.v1alpha1 import FineTuneJobSpec

TRAINED = ("task", "model", "dataset")
"""What a job without a program must name."""

RULES = (
    Rule(
        at="spec",
        rule="has(self.program) || (has(self.task) && has(self.model) && has(self.dataset))",
        message="A job names task, model and dataset, or brings a program of its own; add what is missing.",
    ),
    Rule(
        at="spec",
        rule="!has(self.program) || !(has(self.task) || has(self.model) || has(self.dataset))",
        message="A program brings its own task, model and data; leave out task, model and dataset, or program.",
        field=".program",
    ),
)

OF_TRAINING = RunConfig.model_fields.keys() - CommonRun.model_fields.keys() - set(TRAINED)
IDLE = tuple(sorted(OF_TRAINING & FineTuneJobSpec.model_fields.keys()))
"""The blocks that only training reads."""


def idle(spec: FineTuneJobSpec) -> Iterator[Violation]:
    """What a job says that its program would never hear of; the API server cannot tell a default from a word."""
    if spec.program is None:
        return
    for block in IDLE:
        if getattr(spec, block) != FineTuneJobSpec.model_fields[block].get_default(call_default_factory=True):
            yield Violation(
                field=f"spec.{to_camel(block)}",
                message="A program does not read it; leave it out, and give the program arguments of its own.",
            )
    if spec.checkpoint.every_steps is not None:
        yield Violation(
            field="spec.checkpoint.everySteps",
            message="A program chooses when it writes a checkpoint; leave it out, and tell the program.",
        )
    if spec.compute.nodes > 1:
        yield Violation(
            field="spec.compute.nodes",
            message="A program on several nodes is not built; set it to 1, with as many GPUs as the node has.",
        )
