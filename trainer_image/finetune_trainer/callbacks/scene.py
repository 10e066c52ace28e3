"""What a callback may look at."""

from dataclasses import dataclass
from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.prepared import Prepared
from finetune_trainer.tracking.history import GLOBAL_STEP
from finetune_trainer.tracking.run import Tracking


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One rank's part of a training run, before its first step."""

    config: RunConfig
    trainer: Any
    ready: Prepared
    tracking: Tracking | None
    """The run, on rank 0 alone."""

    is_tracked: bool
    """Whether anybody will see what is shown; the same on all ranks, for some of it all of them take part in."""

    def show(self, values: dict[str, Any]) -> None:
        """Add a row to the run's history."""
        if self.tracking is not None:
            self.tracking.log({**values, GLOBAL_STEP: self.trainer.state.global_step})
