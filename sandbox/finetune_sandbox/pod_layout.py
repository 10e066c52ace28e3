"""Where a pod's paths and host names lead when its container is a process of this machine.

A process without root cannot mount anything at /work, so every such path in its command, its variables and its
configuration files is rewritten to the pod's own directory; host names of a gang become addresses in the same way.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from finetune_operator.cluster.port import Manifest

# torch's store listens on all addresses: each gang here needs a port of its own, below the ephemeral ones.
FIRST_PORT, NUM_PORTS = 10_000, 20_000


def address(cluster: str, namespace: str, host: str) -> str:
    """The loopback address of a pod: the same on every node, another in every cluster."""
    digest = hashlib.sha256(f"{cluster}/{namespace}/{host}".encode()).digest()
    return f"127.{1 + digest[0] % 254}.{digest[1]}.{1 + digest[2] % 254}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The rewriting of one pod's texts."""

    cluster: str
    namespace: str
    subdomain: str | None
    paths: dict[str, Path]
    """Directories (and the termination log) by the path in the container."""

    def rewritten(self, text: str) -> str:
        """The text with the container's paths and the gang's host names as they are on this machine."""
        return self._with_addresses(self._with_paths(text))

    def _with_paths(self, text: str) -> str:
        if not self.paths:
            return text
        longest_first = "|".join(re.escape(path) for path in sorted(self._known, key=len, reverse=True))
        pattern = rf"(?P<scheme>(?<=file://))?(?<![\w.-])(?<!(?<!:/)/)(?P<mount>{longest_first})(?P<rest>/[^\s\"',;:]*)?(?![\w.-])"
        return re.sub(pattern, self._path_of, text)

    def _path_of(self, found: re.Match[str]) -> str:
        is_address = found["scheme"] is not None
        rest = found["rest"] or ""
        if is_address and rest and Path(found["mount"] + rest).exists():
            return found[0]  # A file:// that is here is the author's own data, wherever it lies.
        return f"{self._known[found['mount']]}{rest}"

    @property
    def _known(self) -> dict[str, Path]:
        """All paths by what they may be called; what is rewritten already, and lies below a mount's path, stays."""
        return {str(folder): folder for folder in self.paths.values()} | self.paths

    def _with_addresses(self, text: str) -> str:
        if not self.subdomain:
            return text
        domain = re.escape(self.subdomain)
        suffix = rf"(?:\.{re.escape(self.namespace)}(?:\.svc(?:\.cluster\.local)?)?)?"
        pattern = rf"(?<![\w.-])([a-z0-9][a-z0-9-]*)\.{domain}{suffix}(?::(\d+))?(?![\w.-])"
        return re.sub(pattern, self._address_of, text)

    def _address_of(self, found: re.Match[str]) -> str:
        there = address(self.cluster, self.namespace, found[1])
        if found[2] is None:
            return there
        digest = hashlib.sha256(f"{there}:{found[2]}".encode()).digest()
        return f"{there}:{FIRST_PORT + int.from_bytes(digest[:4], 'big') % NUM_PORTS}"


def expanded(text: str, environment: dict[str, str]) -> str:
    """The text with $(NAME) replaced, as Kubernetes does; $$(NAME) stays $(NAME), an unknown name stays as it is."""

    def value(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        return environment.get(found[1], found[0])

    return re.sub(r"\$?\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", value, text)


def host_name(pod: Manifest) -> str:
    """The name under which the pod's headless Service knows it."""
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name
