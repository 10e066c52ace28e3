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

    @property
    def may_save(self) -> bool:
        """Whether a checkpoint can be written; unknown counts as yes, for trying costs nothing."""
        return self.save_seconds is None or self.save_seconds < self.seconds

    @property
    def may_publish(self) -> bool:
        """Whether it can be brought to its durable place too."""
        return (self.save_seconds or 0) + (self.upload_seconds or 0) < self.seconds

    def sentence(self) -> str | None:
        """What the job's author should know and can do, when not everything fits."""
        if self.may_save and self.may_publish:
            return None
        needed = (self.save_seconds or 0) + (self.upload_seconds or 0)
        return (
            f"Saving and publishing a checkpoint takes about {needed:.0f} s, the grace period leaves "
            f"{self.seconds:.0f} s. "
            "Give the pod a longer terminationGracePeriodSeconds, or use checkpoint.volume."
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
