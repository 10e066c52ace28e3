"""A stream that begins again when it ends, in another order each time."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import streams
from finetune_trainer.data.keyed import Make, generator, number_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A stream of rows, and what makes an example of each anew in every pass."""

    rows: Any
    make: Make
    seed: int

    def example(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        """The example of a row in a pass."""
        return self.make(row, generator(self.seed, number, number_of(row)))


class Passes(torch.utils.data.IterableDataset[dict[str, Any]]):
    """Pass after pass over a stream; what comes when depends on the seed alone."""

    def __init__(self, stream: Any, drawn: Drawn | None = None) -> None:
        self._stream = stream
        self._drawn = drawn

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in itertools.count():
            self._stream.set_epoch(number)
            row = None
            for row in self._stream:
                yield row if self._drawn is None else self._drawn.example(row, number)
            if row is None:
                return  # A worker of the data loader that has no share of the files.


def endless(table: Any, config: RunConfig) -> Any:
    """What the Trainer reads: a stream without end, or a table as it is."""
    drawn = table if isinstance(table, Drawn) else None
    rows = table if drawn is None else drawn.rows
    if not streams.is_stream(rows):
        return table
    return Passes(rows.shuffle(seed=streams.seed(config), buffer_size=config.dataset.shuffle_buffer), drawn)
