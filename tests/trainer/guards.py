"""A training run of which the world asks nothing."""

from pathlib import Path

from finetune_trainer.recovery.moment import Cadence
from finetune_trainer.trainer import Guard


def unguarded(staging: Path) -> Guard:
    """Never asks to stop, takes what is saved and tells nobody."""
    return Guard(
        to_stop=lambda: False,
        may_save=lambda: True,
        saved=lambda _: None,
        stepped=lambda: None,
        staging=staging,
        cadence=Cadence(100),
    )
