"""Tokens per second, and the share of the device's arithmetic that training uses, in every logged row."""

import time
from collections.abc import Iterator
from typing import Any

import torch
import transformers

from finetune_trainer.callbacks.scene import Scene
from finetune_trainer.distributed import sharing

PEAKS = (
    ("B200", 2250e12),
    ("H200", 989e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("A10G", 70e12),
    ("A10", 125e12),
    ("L4", 121e12),
    ("V100", 125e12),
    ("T4", 65e12),
)
"""Operations per second in 16 bits without sparsity, by a part of the device's name; the first that fits."""


def callback(scene: Scene) -> "Speed":
    """For every job; rows without tokens have steps per second alone."""
    return Speed(scene.trainer)


class Speed(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us.
    """Counts what the model reads, and the time between steps; evaluations and saves are left out."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._since: float | None = None
        self._seconds = 0.0
        self._steps = 0
        self._tokens: Any = 0
        trainer.reads = self._count

    def _count(self, inputs: dict[str, Any]) -> None:
        mask = inputs.get("attention_mask")
        if isinstance(mask, torch.Tensor) and mask.ndim == 2:
            self._tokens = self._tokens + mask.sum()  # Stays on the device: nobody waits for it before the log.
        elif isinstance(ids := inputs.get("input_ids"), torch.Tensor):
            self._tokens = self._tokens + ids.numel()

    def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """The clock starts."""
        self._since = time.monotonic()

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """A step was made."""
        now = time.monotonic()
        self._seconds += now - (self._since or now)
        self._since = now
        self._steps += 1

    def on_evaluate(self, *_args: Any, **_kwargs: Any) -> None:
        """What an evaluation took is not training."""
        self._since = time.monotonic()

    on_save = on_evaluate

    def on_log(self, args: Any, _state: Any, _control: Any, logs: Any = None, **_kwargs: Any) -> None:
        """Add the speed since the last row to this one; the Trainer's own history stays as it is."""
        if not logs or "loss" not in logs or not self._seconds:
            return
        logs["steps_per_second"] = round(self._steps / self._seconds, 4)
        tokens = int(self._tokens) * args.world_size
        if tokens:
            logs["tokens_per_second"] = round(tokens / self._seconds, 1)
            if (peak := peak_of(args)) is not None:
                used = operations(self._trainer.model) * tokens / self._seconds
                logs["mfu"] = round(used / (peak * args.world_size), 4)
        self._seconds, self._steps, self._tokens = 0.0, 0, 0


def operations(model: Any) -> float:
    """Operations that a token costs: two for each weight forward, two for what flows back, two for its gradient.

    An embedding that is only looked up costs none; one that is also the last layer's matrix counts. Attention's own
    products are left out.
    """
    return sum((6 if one.requires_grad else 4) * sharing.num_elements(one) for one in _multiplied(model))


def _multiplied(model: Any) -> Iterator[Any]:
    last = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    looked_up = {id(one.weight) for one in model.modules() if isinstance(one, torch.nn.Embedding)}
    looked_up.discard(id(getattr(last, "weight", None)))
    return (one for one in model.parameters() if id(one) not in looked_up)


def peak_of(args: Any) -> float | None:
    """What the device can do in 16 bits, where that is what is asked of it and the device is known."""
    if not torch.cuda.is_available() or not (args.bf16 or args.fp16):
        return None
    name = torch.cuda.get_device_name(args.device)
    return next((peak for part, peak in PEAKS if part in name), None)
