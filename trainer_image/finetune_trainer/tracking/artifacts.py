"""How files get into an artifact."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

AT_ONCE = 8
"""Files that are hashed at the same time; hashing gives the interpreter away."""


def add_files(artifact: Any, files: Mapping[str, Path], *, stay: bool) -> None:
    """Put files under names into an artifact; the SDK copies them first, unless they stay until they are uploaded.

    The SDK's own way for whole folders leaves a line of the pod's log open while it hashes, and the row that is logged
    meanwhile goes behind it.
    """
    policy = "immutable" if stay else "mutable"

    def add(name: str) -> None:
        artifact.add_file(str(files[name]), name=name, policy=policy, skip_cache=stay)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(add, files))  # Raises what the first one raised.
