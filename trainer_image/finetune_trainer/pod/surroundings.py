"""What the pod tells the trainer beside run.json: the attempt, its peers and its directories. Stdlib only."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.contract import environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """One attempt on one node, as its environment describes it."""

    attempt: int
    token: str
    node_rank: int
    rendezvous: str | None
    min_step: int | None
    min_digest: str | None
    work_dir: Path
    checkpoint_dir: Path | None
    output_volume: Path | None
    termination_log: Path
    address: str
    port: int
    image: str | None
    git_ref: str | None = None

    @property
    def progress_file(self) -> Path:
        """The JSON that rank 0 writes and its supervisor serves."""
        return self.work_dir / "progress.json"

    @property
    def ranks(self) -> Path:
        """Where each rank leaves its pid, its heartbeat and its outcome."""
        return self.work_dir / "ranks"

    @property
    def staging(self) -> Path:
        """Where a checkpoint is written before it has its name."""
        return self.work_dir / "staging"

    @property
    def checkpoints(self) -> Path:
        """Complete recovery checkpoints of this pod."""
        return self.work_dir / "checkpoints"

    @property
    def restored(self) -> Path:
        """The checkpoint that this attempt begins with."""
        return self.checkpoints / "restored"

    @property
    def output_dir(self) -> Path:
        """The Trainer's own output: the user's saves and the final model."""
        return self.work_dir / "output"

    @property
    def stop_requested(self) -> Path:
        """Exists from the moment the pod was asked to stop; holds the time, as seconds since the epoch."""
        return self.work_dir / "stop-requested"


def surroundings(env: Mapping[str, str] = os.environ) -> Surroundings:
    """Reads the environment once; the names are the contract's."""
    min_step = env.get(environment.MIN_STEP)
    volume = env.get(environment.CHECKPOINT_DIR)
    output = env.get(environment.OUTPUT_DIR)
    return Surroundings(
        attempt=int(env.get(environment.ATTEMPT) or 1),
        token=env.get(environment.TOKEN, ""),
        node_rank=int(env.get(environment.NODE_RANK) or 0),
        rendezvous=env.get(environment.RENDEZVOUS) or None,
        min_step=int(min_step) if min_step else None,
        min_digest=env.get(environment.MIN_DIGEST) or None,
        work_dir=Path(env.get(environment.WORK_DIR) or environment.DEFAULT_WORK_DIR),
        checkpoint_dir=Path(volume) if volume else None,
        output_volume=Path(output) if output else None,
        termination_log=Path(env.get(environment.TERMINATION_LOG) or environment.DEFAULT_TERMINATION_LOG),
        address=env.get(environment.POD_IP, ""),
        port=int(env.get(environment.PROGRESS_PORT) or environment.DEFAULT_PROGRESS_PORT),
        image=env.get(environment.IMAGE) or None,
        git_ref=env.get(environment.GIT_REF) or None,
    )
