"""A stream that begins again when it ends, in another order each time."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import streams


class Passes(torch.utils.data.IterableDataset[dict[str, Any]]):
    """Pass after pass over a stream; what comes when depends on the seed alone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in itertools.count():
            self._stream.set_epoch(number)
            row = None
            for row in self._stream:
                yield row
            if row is None:
                return  # A worker of the data loader that has no share of the files.


def endless(table: Any, config: RunConfig) -> Any:
    """What the Trainer reads: a stream without end, or a table as it is."""
    if not streams.is_stream(table):
        return table
    return Passes(table.shuffle(seed=streams.seed(config), buffer_size=config.dataset.shuffle_buffer))
