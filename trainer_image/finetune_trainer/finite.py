"""Notices a loss that is not a number without waiting for the device, and says which examples it came from."""

import itertools
import math
from typing import Any

import torch

from finetune_trainer.errors import ConfigurationError

MOST_NAMED = 16


class LossWatch:
    """Remembers the first step with a loss or gradient that is not a number, where the device keeps its numbers.

    Asking a GPU for a number waits for all that it has been given. So the answer is copied while the GPU works, and
    read when it has come; only what must not go on with bad weights waits for it.
    """

    def __init__(self) -> None:
        self._first: torch.Tensor | None = None
        self._copy: torch.Tensor | None = None
        self._arrived: Any = None

    def note(self, value: torch.Tensor | float | None, step: int) -> None:
        """Look at a loss, or at the norm of the gradients, of a step counted from 1."""
        if value is None or (_is_here(value) and math.isfinite(value)):
            return
        seen = torch.as_tensor(value).detach()
        if self._first is None:
            self._first = torch.zeros((), dtype=torch.int64, device=seen.device)
        is_first = ~torch.isfinite(seen).all().to(self._first.device) & (self._first == 0)
        self._first = torch.where(is_first, step, self._first)

    def found(self, *, wait: bool) -> int | None:
        """The first bad step, as far as is known; with `wait`, for certain."""
        if self._first is None:
            return None
        if wait or self._first.device.type != "cuda":
            return int(self._first.item()) or None
        return self._copied()

    def _copied(self) -> int | None:
        assert self._first is not None  # noqa: S101 - The caller looked.
        answer: int | None = None
        if self._copy is not None and self._arrived.query():
            answer, self._copy = int(self._copy.item()) or None, None
        if self._copy is None:
            self._copy = torch.zeros((), dtype=torch.int64, pin_memory=True)
            self._copy.copy_(self._first, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()
        return answer


def _is_here(value: torch.Tensor | float) -> bool:
    """Whether a number can be read without waiting for a device."""
    return isinstance(value, float) or (value.device.type == "cpu" and value.numel() == 1)


def not_finite(step: int, examples: tuple[int, ...]) -> ConfigurationError:
    """The end of a training whose loss is not a number; it would come out the same every time."""
    named = ", ".join(map(str, examples[:MOST_NAMED])) + (", ..." if len(examples) > MOST_NAMED else "")
    which = f" Its last batch held the training examples {named} (counted from 0)." if examples else ""
    return ConfigurationError(
        "LossNotFinite",
        f"The loss of step {step} is not a number, and would not be one again.{which} Lower training.learning_rate, "
        "correct those examples, or train with bf16 instead of fp16; set checkpoint.allowChange to go on from the "
        "newest checkpoint.",
    )


def examples_of(loader: Any, step: int, accumulation: int) -> tuple[int, ...]:
    """The numbers of the examples that this process had in a step; empty where data have no numbers.

    They are found again from the sampler, which gives the same order for the same epoch.
    """
    batches = getattr(loader, "batch_sampler", None)
    if batches is None or not hasattr(batches, "__len__") or not len(batches):
        return ()
    epoch, position = divmod(step - 1, math.ceil(len(batches) / accumulation))
    for part in (loader, batches, getattr(batches, "batch_sampler", None), getattr(batches, "sampler", None)):
        set_epoch = getattr(part, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
    start = position * accumulation
    return tuple(itertools.chain.from_iterable(itertools.islice(batches, start, start + accumulation)))
