"""The W&B server and the Hub that a local run talks to: the real ones, or the sandbox's."""

import netrc
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_sandbox.wandb_server import Records, WandbServer

from finetune_cli.jobs import JobFileError

SANDBOX_TOKEN = "hf_sandbox"


class Services:
    """What a local run talks to, while its `with` block lasts."""

    def __init__(self, folder: Path, *, is_sandbox: bool) -> None:
        self._folder = folder
        self._is_sandbox = is_sandbox
        self._stack = ExitStack()
        self._wandb: WandbServer | None = None
        self.hub_endpoint: str | None = os.environ.get("HF_ENDPOINT")
        self.wandb_base_url: str | None = os.environ.get("WANDB_BASE_URL")

    def __enter__(self) -> Self:
        if self._is_sandbox:
            from finetune_sandbox.hub import Hub
            from finetune_sandbox.hub.repositories import furnish

            self._wandb = self._stack.enter_context(WandbServer(self._folder / "wandb"))
            self.wandb_base_url = self._wandb.url
            furnish(self._folder / "hub")
            self.hub_endpoint = self._stack.enter_context(Hub(self._folder / "hub")).url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pages(self) -> str | None:
        """Where the sandbox's W&B server shows its runs."""
        return self._wandb.url if self._wandb else None

    @property
    def records(self) -> Records:
        """What the sandbox's W&B server has stored."""
        return Records(self._folder / "wandb")

    def secrets(self, spec: dict[str, Any]) -> dict[str, dict[str, str]]:
        """The Secrets that the job names, filled from this user's environment."""
        made: dict[str, dict[str, str]] = {}
        wandb = (spec.get("wandb") or {}).get("secretRef")
        if wandb:
            keys = made.setdefault(wandb["name"], {})
            keys[wandb.get("key", "WANDB_API_KEY")] = self._wandb_key()
            keys |= {name: os.environ[name] for name in wandb.get("extraKeys", ()) if name in os.environ}
        hub = (spec.get("hub") or {}).get("secretRef")
        token = SANDBOX_TOKEN if self._wandb else os.environ.get("HF_TOKEN")
        if hub and token:
            made.setdefault(hub["name"], {})[hub.get("key", "HF_TOKEN")] = token
        return made

    def run_page(self, job: FineTuneJob) -> str | None:
        """The run's page, where there is one to look at."""
        return job.status.run.url if job.status.run and not self._is_sandbox else None

    def _wandb_key(self) -> str:
        if self._wandb:
            return self._wandb.environment()["WANDB_API_KEY"]
        if key := os.environ.get("WANDB_API_KEY"):
            return key
        host = urlsplit(self.wandb_base_url or "https://api.wandb.ai").hostname or ""
        try:
            found = netrc.netrc().authenticators(host)
        except (OSError, netrc.NetrcParseError):
            found = None
        if found is None or found[2] is None:
            raise JobFileError(
                "wandb.secretRef needs a W&B key. Set WANDB_API_KEY, log in with `wandb login`, or give --sandbox."
            )
        return found[2]
