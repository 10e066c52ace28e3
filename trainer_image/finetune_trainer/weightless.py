"""Preparing a job without the weights of its model: for a check, which needs their names and shapes alone."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")
"""What is not fetched then."""

_is_on: ContextVar[bool] = ContextVar("weightless", default=False)


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
