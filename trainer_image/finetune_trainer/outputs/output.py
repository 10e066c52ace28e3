"""What an output must do, and the model that it delivers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.pod.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The final model and all that an output may need of it."""

    folder: Path
    config: RunConfig
    here: Surroundings
    run: Any = None
    """The open W&B run; none when W&B is off."""
    artifact: Any = None
    """The committed version of `model-{run_id}`; none when models are not kept in W&B."""


class Output(Protocol):
    """A place for the final model."""

    def is_wanted(self, config: RunConfig) -> bool:
        """Whether the job asks for it."""

    def check(self, config: RunConfig, here: Surroundings) -> None:
        """Before training: refuse what can be known to fail at the end."""

    def deliver(self, final: Final) -> None:
        """Bring the model there, whole; the same model again changes nothing."""
