"""Preparing a job without the weights that its model has on the Hub or in its folder.

A check needs their names and shapes alone, and an attempt that goes on gets them from its checkpoint.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from finetune_trainer.contract.run_config import RunConfig

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")
"""What is not fetched then."""

WHOLE = ("model.safetensors", "model.safetensors.index.json")
"""Either is in a folder with all weights of a model."""

_is_on: ContextVar[bool] = ContextVar("weightless", default=False)
_checkpoint: ContextVar[Path | None] = ContextVar("checkpoint", default=None)


def is_on() -> bool:
    """Whether models are made without weights now."""
    return _is_on.get()


@contextlib.contextmanager
def weightless() -> Iterator[None]:
    """Make models without weights while the block lasts."""
    token = _is_on.set(True)
    try:
        yield
    finally:
        _is_on.reset(token)


def made(loader: Any, settings: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    """A model of these settings as `loader.from_pretrained` would give it, all of it on the meta device."""
    import torch

    with torch.device("meta"):
        model = loader.from_config(settings, **options)
    return model, {"missing_keys": set(), "mismatched_keys": []}


@contextlib.contextmanager
def going_on(restored: Path | None, config: RunConfig) -> Iterator[None]:
    """Let the model come from a restored checkpoint while the block lasts, where that has all of it.

    An adapter stands on the first weights, a preference is measured against them, a model's own code lies beside them.
    """
    needs_first = config.peft is not None or config.task == "preference" or config.model.trust_remote_code
    has_all = restored is not None and any((restored / name).exists() for name in WHOLE)
    token = _checkpoint.set(restored if has_all and not needs_first else None)
    try:
        yield
    finally:
        _checkpoint.reset(token)


def checkpoint() -> Path | None:
    """Where the weights of models are now, if not in the models' own places."""
    return _checkpoint.get()
