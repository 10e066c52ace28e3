"""Enough of the W&B backend for the unmodified SDK, with its state on disk and trouble on demand.

`WandbServer` runs it inside a process, `python -m finetune_sandbox.wandb_server --state DIR` as one of its own;
`Records` reads what it has stored.
"""

from finetune_sandbox.wandb_server.embedded import API_KEY, WandbServer
from finetune_sandbox.wandb_server.faults import Effect, Fault
from finetune_sandbox.wandb_server.records import ArtifactRecord, Records, RunRecord
from finetune_sandbox.wandb_server.server import Settings
from finetune_sandbox.wandb_server.store import FolderInUse

__all__ = [
    "API_KEY",
    "ArtifactRecord",
    "Effect",
    "Fault",
    "FolderInUse",
    "Records",
    "RunRecord",
    "Settings",
    "WandbServer",
]
