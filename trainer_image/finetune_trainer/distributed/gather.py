"""Checkpoint files between nodes that share no directory: over gloo, from and to the first rank of each node."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from finetune_trainer.files import files_in
from finetune_trainer.pod.progress import END_PATIENCE

CHUNK = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Gang:
    """This rank among all ranks, and the gloo group that files and words travel through."""

    rank: int
    local_rank: int
    world_size: int
    per_node: int
    group: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that speaks for all."""
        return self.rank == 0

    @property
    def other_nodes(self) -> range:
        """The first rank of each node but the first."""
        return range(self.per_node, self.world_size, self.per_node)

    @property
    def spans_nodes(self) -> bool:
        """Whether there is more than one node."""
        return self.world_size > self.per_node

    def shared(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.group)
        return box[0]

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            dist.barrier(group=self.group)

    def collect(self, folder: Path) -> None:
        """Bring the files that the other nodes wrote into rank 0's folder of the same checkpoint."""
        if self.spans_nodes:
            if self.is_first:
                for other in self.other_nodes:
                    self._receive(folder, other)
            elif self.local_rank == 0:
                self._send(folder, 0)

    def hand_out(self, folder: Path) -> None:
        """Bring rank 0's files into the folder of the other nodes."""
        if self.spans_nodes:
            if self.is_first:
                for other in self.other_nodes:
                    self._send(folder, other)
            elif self.local_rank == 0:
                self._receive(folder, 0)
        self.barrier()

    def _send(self, folder: Path, to: int) -> None:
        files = files_in(folder)
        names = [(name, path.stat().st_size) for name, path in files.items()]
        dist.send_object_list([names], dst=to, group=self.group)
        for path, (_, size) in zip(files.values(), names, strict=True):
            with path.open("rb") as content:
                for start in range(0, size, CHUNK):
                    part = np.frombuffer(content.read(min(CHUNK, size - start)), dtype=np.uint8)
                    dist.send(torch.from_numpy(part.copy()), dst=to, group=self.group)

    def _receive(self, folder: Path, source: int) -> None:
        box: list[Any] = [None]
        dist.recv_object_list(box, src=source, group=self.group)
        for name, size in box[0]:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as content:
                for start in range(0, size, CHUNK):
                    part = torch.empty(min(CHUNK, size - start), dtype=torch.uint8)
                    dist.recv(part, src=source, group=self.group)
                    content.write(part.numpy().tobytes())


def gang(args: Any) -> Gang:
    """The gang as the Trainer's arguments know it; a collective when there are several ranks."""
    # Here the others wait for what rank 0 does alone; a gang that makes no step is found by its supervisors.
    patience = timedelta(seconds=max(args.ddp_timeout, END_PATIENCE))
    return Gang(
        rank=args.process_index,
        local_rank=args.local_process_index,
        world_size=args.world_size,
        per_node=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        group=dist.new_group(backend="gloo", timeout=patience) if args.world_size > 1 else None,
    )
