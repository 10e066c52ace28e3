"""Histograms of gradients and parameters, as WANDB_WATCH says.

The SDK's own `watch` counts passes of the process, so that a restarted job would show others; here the step decides.
"""

import os
from collections.abc import Mapping
from typing import Any

import torch
import transformers

from finetune_trainer.callbacks.scene import Scene
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.tracking import media
from finetune_trainer.tracking.run import wishes

EVERY_STEPS = 100
BINS = 64
KINDS = frozenset({"gradients", "parameters", "all"})


def check(config: RunConfig, env: Mapping[str, str] = os.environ) -> None:
    """Refuse histograms of what FSDP shares out: every process would have to help rank 0 with them, and none does."""
    wanted = wishes(config, env)
    if config.distributed.fsdp is not None and wanted.mode != "disabled" and wanted.watch in KINDS:
        raise ConfigurationError(
            "WatchUnsuitable",
            f"wandb.watch or WANDB_WATCH is {wanted.watch}, and distributed.fsdp shares out the gradients and "
            'parameters that it would look at. Set wandb.watch: "false".',
        )


def callback(scene: Scene) -> "Watching | None":
    """On rank 0, where the job watches something."""
    tracking = scene.tracking
    if tracking is None or not scene.is_tracked or tracking.wishes.watch not in KINDS:
        return None
    return Watching(scene, tracking.wishes.watch)


class Watching(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us.
    """Shows histograms of the first step and of every hundredth; of less frequently logged jobs, at that rhythm."""

    def __init__(self, scene: Scene, what: str) -> None:
        self._scene = scene
        self._kinds = ("gradients", "parameters") if what == "all" else (what,)

    def on_pre_optimizer_step(self, _args: Any, state: Any, _control: Any, model: Any = None, **_kwargs: Any) -> None:
        """The gradients of a step are complete; the step is counted after its optimizer's."""
        step = state.global_step + 1
        every = max(EVERY_STEPS, state.logging_steps)
        if step == 1 or step % every == 0:
            self._scene.show(
                {
                    f"{kind}/{name}": shown
                    for name, one in model.named_parameters()
                    for kind in self._kinds
                    if (shown := histogram(one.grad if kind == "gradients" else one)) is not None
                }
            )


def histogram(values: torch.Tensor | None) -> media.Media | None:
    """The histogram of a tensor's values; nothing where this process holds none of them."""
    if values is None or values.numel() == 0:
        return None
    flat = values.detach().float().flatten()
    low, high = float(flat.min()), float(flat.max())
    if not (torch.isfinite(flat).all()):
        return None
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(flat, bins=BINS, min=low, max=high)
    edges = [low + (high - low) * place / BINS for place in range(BINS + 1)]
    return media.histogram(edges, [int(count) for count in counts.tolist()])
