"""Examples that are drawn anew in every epoch, and are the same whenever, wherever and however often they are drawn.

What is random in an example follows from the job's seed, the epoch and the example's number alone. A generator that is
carried along would not do: after a restart in the middle of an epoch the examples before it are skipped, not drawn.
The examples of a stream have no numbers; they go by what is in them.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

Make = Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]
"""An example from a row of the table and what is drawn."""
NO_EPOCH = 2**63
"""What stands for the epoch where every epoch gets the same draws."""


def generator(seed: int, epoch: int, number: int) -> np.random.Generator:
    """What is drawn for one example in one epoch; a counter-based generator, so that it costs nothing to start."""
    counter = np.array([0, 0, 0, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=np.array([seed, epoch], dtype=np.uint64)))


def number_of(row: dict[str, Any]) -> int:
    """What stands for the number of an example that has none: it follows from the example."""
    told = hashlib.blake2b(repr(sorted(row.items())).encode(), digest_size=8).digest()
    return int.from_bytes(told, "little")


class Keyed(torch.utils.data.Dataset[dict[str, Any]]):
    """The rows of a table as examples; the loader's workers see the epoch through shared memory."""

    def __init__(self, table: Any, make: Make, seed: int) -> None:
        self.table = table
        self._make = make
        self._seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]  # torch's.

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self._make(self.table[number], generator(self._seed, self.epoch, number))

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Several at once; the loader's own name for it."""
        return [self[number] for number in numbers]

    @property
    def epoch(self) -> int:
        """The epoch that is drawn for."""
        return int(self._epoch.item())

    def begin_epoch(self, epoch: int) -> None:
        """Draw for another epoch from here on; called before the loader starts on it.

        Not named set_epoch: accelerate would call that, on an evaluation's examples too.
        """
        self._epoch.fill_(epoch)


class Fixed(Keyed):
    """Examples that are drawn once and for all, whatever the seed: evaluations compare over epochs and jobs."""

    def __init__(self, table: Any, make: Make) -> None:
        super().__init__(table, make, seed=0)

    @property
    def epoch(self) -> int:
        """None that is ever trained."""
        return NO_EPOCH
