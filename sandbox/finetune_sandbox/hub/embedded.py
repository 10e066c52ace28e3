"""The hub inside another process, on a thread of its own."""

from pathlib import Path
from types import TracebackType
from typing import Self

from finetune_sandbox.hub.repositories import Repositories, furnish
from finetune_sandbox.hub.server import Access, Surface
from finetune_sandbox.loopback import Loopback


class Hub:
    """A hub over a folder, furnished with the sandbox's own models and data sets."""

    def __init__(self, root: Path, *, host: str = "127.0.0.1", port: int = 0, access: Access | None = None) -> None:
        self.root = root
        surface = Surface(Repositories(root), access or Access())
        self._loopback = Loopback(surface.application, host=host, port=port)

    def __enter__(self) -> Self:
        furnish(self.root)
        self._loopback.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loopback.stop()

    @property
    def url(self) -> str:
        """What `HF_ENDPOINT` must be."""
        return self._loopback.url

    def environment(self, home: Path) -> dict[str, str]:
        """What unmodified clients need to find the hub, with a cache of their own."""
        return {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}

    def pause(self) -> None:
        """Go away: connections are cut, new ones refused."""
        self._loopback.close()

    def resume(self) -> None:
        """Come back at the same address."""
        self._loopback.open()
