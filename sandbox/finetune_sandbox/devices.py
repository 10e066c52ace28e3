"""The GPUs of this machine, and which pod has which of them."""

import os
from collections import Counter
from itertools import takewhile
from pathlib import Path

from finetune_operator.cluster.port import Manifest

from finetune_sandbox.nodes import GPU, requested

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible() -> tuple[str, ...] | None:
    """The GPUs that this user may have, as CUDA names them; None on a machine without any."""
    if VISIBLE in os.environ:
        said = (each.strip() for each in os.environ[VISIBLE].split(","))
        # CUDA reads as far as the first name that is none: -1 hides all that follow.
        return tuple(takewhile(lambda name: name and not name.startswith("-"), said))
    return tuple(str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))) or None


class Devices:
    """Hands out GPUs to pods, as a device plugin does."""

    def __init__(self, names: tuple[str, ...] | None, resource: str = GPU) -> None:
        self._names = names
        self._resource = resource
        self._held: dict[str, tuple[str, ...]] = {}

    def taken_by(self, pod: Manifest) -> dict[str, str]:
        """The variable that leads a pod to its own GPUs; those that fewest others have, where there are too few."""
        if self._names is None:
            return {}
        self.give_back(pod)
        holders = Counter(name for names in self._held.values() for name in names)
        number = int(requested(pod).amounts.get(self._resource, 0))
        chosen = sorted(self._names, key=lambda name: holders[name])[:number]
        self._held[pod["metadata"]["uid"]] = tuple(chosen)
        return {VISIBLE: ",".join(name for name in self._names if name in chosen)}

    def give_back(self, pod: Manifest) -> None:
        """The pod's processes have ended."""
        self._held.pop(pod["metadata"]["uid"], None)
