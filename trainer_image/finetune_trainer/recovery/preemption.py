"""The wish to stop: agreed on by all ranks at a step boundary, and what fits into the time that is left."""

from dataclasses import dataclass

import torch
import torch.distributed as dist

from finetune_trainer.distributed.gather import Gang
from finetune_trainer.pod.stop_flag import StopFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What can be done in the rest of the grace period, by what was measured before."""

    seconds: float
    save_seconds: float | None
    upload_seconds: float | None
    step_seconds: float = 0.0
    """What a step takes that must end first: a stop is heard after it. 0 where it has ended."""

    @property
    def may_save(self) -> bool:
        """Whether a checkpoint can be written; unknown counts as yes, for trying costs nothing."""
        return self.save_seconds is None or self.save_seconds < self.seconds

    @property
    def may_publish(self) -> bool:
        """Whether it can be brought to its durable place too."""
        return self._until_saved + (self.upload_seconds or 0) < self.seconds

    @property
    def _until_saved(self) -> float:
        return self.step_seconds + (self.save_seconds or 0)

    def sentence(self) -> str | None:
        """What the job's author should know and can do, when not everything fits."""
        if self.may_save and self.may_publish:
            return None
        what = "A step, saving and publishing take" if self.step_seconds else "Saving and publishing a checkpoint takes"
        # A volume spares the upload alone.
        instead = ", or use checkpoint.volume" if self._until_saved < self.seconds else ""
        return (
            f"{what} about {self._until_saved + (self.upload_seconds or 0):.0f} s, the grace period leaves "
            f"{self.seconds:.0f} s. "
            f"Give the pod a longer terminationGracePeriodSeconds{instead}."
        )


class Agreement:
    """Whether any rank was asked to stop, the same answer on all of them at the same step."""

    def __init__(self, flag: StopFlag, gang: Gang) -> None:
        self._flag = flag
        self._gang = gang

    def to_stop(self) -> bool:
        """Ask all ranks; a collective when there are several."""
        if self._gang.world_size == 1:
            return self._flag.is_set
        wish = torch.tensor([int(self._flag.is_set)])
        dist.all_reduce(wish, op=dist.ReduceOp.MAX, group=self._gang.group)
        return bool(wish.item())
