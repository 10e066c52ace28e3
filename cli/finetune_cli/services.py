"""The W&B server and the Hub that a local run talks to: the real ones, or the sandbox's."""

import netrc
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_sandbox.wandb_server import API_KEY, FolderInUse, Records, WandbServer

from finetune_cli.jobs import JobFileError

SANDBOX_VALUES = {"WANDB_API_KEY": API_KEY, "HF_TOKEN": "hf_sandbox"}


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

            try:
                self._wandb = self._stack.enter_context(WandbServer(self._folder / "wandb"))
            except FolderInUse as taken:
                raise JobFileError(str(taken)) from taken
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

    def own(self, variable: str) -> str | None:
        """What the sandbox's servers ask for."""
        return SANDBOX_VALUES.get(variable) if self._is_sandbox else None

    def users(self, variable: str) -> str | None:
        """What this user has in a variable, or has kept by `wandb login` or `hf auth login`."""
        if value := os.environ.get(variable):
            return value
        match variable:
            case "WANDB_API_KEY":
                return _kept_by_wandb(self.wandb_base_url)
            case "HF_TOKEN":
                return _kept_by_hf()
            case _:
                return None

    def run_page(self, job: FineTuneJob) -> str | None:
        """The run's page, where there is one to look at."""
        return job.status.run.url if job.status.run and not self._is_sandbox else None


def _kept_by_wandb(base_url: str | None) -> str | None:
    host = urlsplit(base_url or "https://api.wandb.ai").hostname or ""
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def _kept_by_hf() -> str | None:
    from huggingface_hub import get_token

    token: str | None = get_token()
    return token
