"""Where the final model goes beside its W&B artifact. A new output is one file and one line in `OUTPUTS`.

Delivering comes before the job is marked as finished, so an attempt that dies in between is followed by one that
delivers the same model once more.
"""

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.outputs import bucket, hub, registry, volume
from finetune_trainer.outputs.output import Final, Output
from finetune_trainer.pod.surroundings import Surroundings

__all__ = ["OUTPUTS", "Final", "check", "check_room", "deliver"]

OUTPUTS: tuple[Output, ...] = (registry, hub, volume, bucket)


def check(config: RunConfig, here: Surroundings) -> None:
    """Refuse, before training, what can be known to fail at the end."""
    for output in OUTPUTS:
        if output.is_wanted(config):
            output.check(config, here)


def check_room(config: RunConfig, here: Surroundings, size: int) -> None:
    """Refuse a volume that has less room than the final model's `size` in bytes."""
    if volume.is_wanted(config):
        volume.check_room(here, size)


def deliver(final: Final) -> None:
    """Bring the model to every place that the job names."""
    for output in OUTPUTS:
        if output.is_wanted(final.config):
            output.deliver(final)
