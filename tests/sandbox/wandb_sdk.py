"""The unmodified W&B SDK in a process of its own, pointed at a server of the test's."""

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from finetune_sandbox.wandb_server import WandbServer

from tests.sandbox.forked_sdk import Client, begun

PRELUDE = """
import os, signal, sys, time
from datetime import timedelta
from pathlib import Path
import wandb

# A shell that starts this in the background has SIGINT ignored, by which the SDK stops a run.
signal.signal(signal.SIGINT, signal.default_int_handler)

def folder(**files):
    path = Path(os.environ["SCRATCH"]) / "files"
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return str(path)

def logged(run, name, aliases=(), *, wait=True, ttl=None, **files):
    artifact = wandb.Artifact(name, "checkpoint", metadata={"files": len(files)})
    artifact.ttl = ttl
    artifact.add_dir(folder(**files))
    future = run.log_artifact(artifact, aliases=list(aliases))
    return future.wait() if wait else future
"""

WAITS = (
    "FILE_STREAM_TRANSMIT_INTERVAL",
    *(
        f"{each}_RETRY_WAIT_{end}_SECONDS"
        for each in ("FILE_STREAM", "FILE_TRANSFER", "GRAPHQL")
        for end in ("MIN", "MAX")
    ),
)
"""What the SDK waits for, in whole seconds: it cuts a fraction off, and takes 0 for its default of many."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """Runs scripts that use the SDK."""

    environment: dict[str, str]
    scratch: Path

    def start(self, script: str) -> Client:
        """Begin a script and do not wait for it."""
        places = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR")
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch),
            "SCRATCH": str(self.scratch),
            "WANDB_PROJECT": "tests",
            "WANDB_SILENT": "true",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_X_DISABLE_STATS": "true",
            "WANDB_X_SAVE_REQUIREMENTS": "false",
            **{f"WANDB_X_{each}": "1" for each in WAITS},
            **{each: str(self.scratch / each.lower()) for each in places},
        }
        self.scratch.mkdir(exist_ok=True)
        for each in places:
            (self.scratch / each.lower()).mkdir(exist_ok=True)
        return begun(PRELUDE + textwrap.dedent(script), own | self.environment, self.scratch)

    def run(self, script: str) -> str:
        """Run a script to its end; its standard output."""
        client = self.start(script)
        out, err = client.communicate(timeout=120)
        assert client.returncode == 0, err
        return out.strip()

    def fails(self, script: str) -> str:
        """Run a script that must fail; its standard error."""
        client = self.start(script)
        _, err = client.communicate(timeout=120)
        assert client.returncode != 0
        return err


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition holds; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "The condition did not come to hold."
        time.sleep(0.05)


@pytest.fixture(name="server")
def fresh_server(tmp_path: Path) -> Iterator[WandbServer]:
    """A W&B server of the test's own."""
    with WandbServer(tmp_path / "state") as running:
        yield running


@pytest.fixture(name="sdk")
def plain_sdk(server: WandbServer, tmp_path: Path) -> Sdk:
    """The SDK, pointed at that server."""
    return Sdk(server.environment(), tmp_path / "client")
