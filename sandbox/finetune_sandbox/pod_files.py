"""A pod's volumes and variables, taken from the cluster and laid out on this machine."""

import base64
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_operator.cluster.port import CONFIG_MAP, SECRET, Cluster, Kind, Manifest
from finetune_trainer.contract.environment import RUN_CONFIG_FILE

from finetune_sandbox.pod_layout import Layout, expanded


class NotYet(Exception):
    """A volume cannot be mounted yet; the message is the kubelet's."""


class ConfigError(Exception):
    """A container cannot be configured yet; the message is the kubelet's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The keys of a ConfigMap or Secret."""

    kind: Kind
    name: str
    items: Mapping[str, bytes]


async def source(api: Cluster, kind: Kind, namespace: str, name: str) -> Source | None:
    """A ConfigMap or Secret with its values decoded; None when there is none."""
    found = await api.get(kind, namespace, name)
    if found is None:
        return None
    plain = {key: value.encode() for key, value in (found.get("stringData") or {}).items()}
    for key, value in (found.get("data") or {}).items():
        plain[key] = base64.b64decode(value) if kind == SECRET else value.encode()
    plain |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return Source(kind=kind, name=name, items=plain)


SHARED_FOLDERS = frozenset({"/tmp", "/dev/shm"})  # noqa: S108 (their names, nothing is written there)
"""Paths that this machine has too, where other things lie; TMPDIR leads to the pod's own instead."""


class Files:
    """The directories of one pod."""

    def __init__(self, folder: Path, claims: Path, pod: Manifest) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.temporary = folder / "tmp"
        self.termination_log = folder / "termination-log"
        self._claims = claims
        self._pod = pod

    async def mount(self, api: Cluster) -> dict[str, Path]:
        """Fill the volumes; returns where each path of the container leads. Raises `NotYet`."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.termination_log.touch()
        container = self._pod["spec"]["containers"][0]
        volumes = {each["name"]: each for each in self._pod["spec"].get("volumes") or ()}
        paths = {container.get("terminationMessagePath", "/dev/termination-log"): self.termination_log}
        for mount in container.get("volumeMounts") or ():
            folder = await self._mounted(api, volumes[mount["name"]]) / mount.get("subPath", "")
            path = mount["mountPath"].rstrip("/")
            if "subPath" in mount and not folder.exists():
                folder.mkdir(parents=True)
            if path not in SHARED_FOLDERS:
                paths[path] = folder
        self.temporary.mkdir(exist_ok=True)
        return paths

    def rewrite(self, layout: Layout) -> None:
        """Rewrite what names paths of the container: all of our own configuration, file:// addresses in others."""
        # Data of other kinds is not ours to touch, and a Secret's value is no path.
        for mark in (self.folder / "volumes").glob("*/.configuration"):
            for file in mark.parent.rglob("*"):
                if file.suffix in {".json", ".yaml"} and file.is_file():
                    text = file.read_text()
                    is_ours = file.name == RUN_CONFIG_FILE
                    if (is_ours or "file:///" in text) and (new := layout.rewritten(text)) != text:
                        file.write_text(new)

    def remove_scratch(self) -> None:
        """Remove what goes with the pod: everything but its log."""
        for each in (self.folder / "volumes", self.root, self.temporary):
            shutil.rmtree(each, ignore_errors=True)

    async def _mounted(self, api: Cluster, volume: dict[str, Any]) -> Path:
        folder = self.folder / "volumes" / str(volume["name"])
        match volume:
            case {"persistentVolumeClaim": {"claimName": claim}}:
                folder = self._claims / self._pod["metadata"]["namespace"] / claim
            case {"hostPath": {"path": path}}:
                return Path(path)
            case {"projected": {"sources": sources}}:
                folder.mkdir(parents=True, exist_ok=True)
                for each in sources:
                    await self._fill(api, volume["name"], folder, each)
            case _:
                folder.mkdir(parents=True, exist_ok=True)
                await self._fill(api, volume["name"], folder, volume)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _fill(self, api: Cluster, volume: str, folder: Path, described: dict[str, Any]) -> None:
        match described:
            case {"configMap": wanted}:
                kind, name = CONFIG_MAP, wanted["name"]
            case {"secret": wanted}:
                kind, name = SECRET, wanted.get("secretName") or wanted["name"]
            case _:  # emptyDir; and service account tokens and the downward API, which our pods do not read.
                return
        found = await source(api, kind, self._pod["metadata"]["namespace"], name)
        if found is None:
            if wanted.get("optional"):
                return
            raise NotYet(f'MountVolume.SetUp failed for volume "{volume}" : {kind.kind.lower()} "{name}" not found')
        if kind == CONFIG_MAP:
            (folder / ".configuration").touch()
        chosen = {item["key"]: item["path"] for item in wanted.get("items") or ()}
        for key, value in found.items.items():
            if not chosen or key in chosen:
                file = folder / chosen.get(key, key)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(value)


async def environment(api: Cluster, pod: Manifest, ip: str, layout: Layout) -> dict[str, str]:
    """The container's variables, resolved in order and rewritten. Raises `ConfigError`."""
    resolved: dict[str, str] = {}
    for variable in pod["spec"]["containers"][0].get("env") or ():
        value = await _value(api, pod, ip, variable)
        if value is not None:
            resolved[variable["name"]] = layout.rewritten(expanded(value, resolved))
    return resolved


async def _value(api: Cluster, pod: Manifest, ip: str, variable: dict[str, Any]) -> str | None:
    match variable.get("valueFrom"):
        case None:
            return str(variable.get("value", ""))
        case {"secretKeyRef": reference}:
            return await _key(api, pod, SECRET, reference)
        case {"configMapKeyRef": reference}:
            return await _key(api, pod, CONFIG_MAP, reference)
        case {"fieldRef": {"fieldPath": path}}:
            return _field(pod, ip, path)
        case other:
            raise ConfigError(f"{variable['name']}: the process node does not know valueFrom {sorted(other)}")


async def _key(api: Cluster, pod: Manifest, kind: Kind, reference: dict[str, Any]) -> str | None:
    namespace, name, key = pod["metadata"]["namespace"], reference["name"], reference["key"]
    found = await source(api, kind, namespace, name)
    if found is not None and key in found.items:
        return found.items[key].decode()
    if reference.get("optional"):
        return None
    if found is None:
        raise ConfigError(f'{kind.kind.lower()} "{name}" not found')
    raise ConfigError(f"couldn't find key {key} in {kind.kind} {namespace}/{name}")


def _field(pod: Manifest, ip: str, path: str) -> str:
    if path in {"status.podIP", "status.podIPs", "status.hostIP"}:
        return ip
    if path.startswith(("metadata.labels[", "metadata.annotations[")):
        group, key = path.removeprefix("metadata.").removesuffix("]").split("[", 1)
        return str((pod["metadata"].get(group) or {}).get(key.strip("'\""), ""))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "")
    return str(value)
