"""What a job's pods read beside the job: what stands in its file, and what this user's environment has."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from finetune_cli.jobs import JobFileError

KINDS = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap", "secret": "Secret", "configMap": "ConfigMap"}
"""What each way to name an object names."""

Objects = dict[tuple[str, str], dict[str, Any]]
"""Manifests by kind and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A key of a Secret that the job reads."""

    field: str
    """The field that names it."""
    secret: str
    key: str
    variable: str
    """The variable of this user that has the same."""
    login: str | None = None
    """The command that keeps the same."""


class Values(Protocol):
    """Who knows the keys and tokens of this run."""

    def own(self, variable: str) -> str | None:
        """What the run's own servers ask for, whatever the user has."""

    def users(self, variable: str) -> str | None:
        """What the user has: in a variable, or kept by a login."""


def objects(file: str, others: Collection[dict[str, Any]]) -> Objects:
    """The documents beside the job. Raises `JobFileError` about one without a name."""
    found: Objects = {}
    for each in others:
        metadata = each.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str):
            raise JobFileError(f"{file} holds a {each['kind']} without a name. Give it metadata.name.")
        found["Secret" if each["kind"] == "Secret" else "ConfigMap", name] = each
    return found


def completed(file: str, spec: Mapping[str, Any], there: Objects, values: Values) -> Objects:
    """These objects with the keys of W&B and the Hub that they lack. Raises `JobFileError` about one nobody has."""
    made = dict(there)
    for need in needs(spec):
        place = ("Secret", need.secret)
        secret = made.get(place) or {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": need.secret}}
        value = values.own(need.variable)
        if value is None and not has(secret, need.key):
            value = values.users(need.variable)
            if value is None:
                raise JobFileError(nowhere(file, need))
        made[place] = secret if value is None else having(secret, need.key, value)
    return made


def needs(spec: Mapping[str, Any]) -> Iterator[Need]:
    """The keys that the job's wandb and hub name."""
    if wandb := (spec.get("wandb") or {}).get("secretRef"):
        where = {"field": "wandb.secretRef", "secret": wandb["name"]}
        yield Need(**where, key=wandb["key"], variable="WANDB_API_KEY", login="wandb login")
        for key in wandb.get("extraKeys") or ():
            yield Need(**where, key=key, variable=key)
    if hub := (spec.get("hub") or {}).get("secretRef"):
        yield Need(
            field="hub.secretRef", secret=hub["name"], key=hub["key"], variable="HF_TOKEN", login="hf auth login"
        )


def has(secret: Mapping[str, Any], key: str) -> bool:
    """Whether a Secret has a key."""
    return any(key in (secret.get(part) or {}) for part in ("data", "stringData"))


def having(secret: dict[str, Any], key: str, value: str) -> dict[str, Any]:
    """The Secret with this value for a key, and all its others."""
    data = {name: kept for name, kept in (secret.get("data") or {}).items() if name != key}
    return secret | {"data": data, "stringData": (secret.get("stringData") or {}) | {key: value}}


def nowhere(file: str, need: Need) -> str:
    """What to do about a key that is nowhere."""
    login = f", log in with `{need.login}`" if need.login else ""
    return (
        f"{need.field} needs the key {need.key} of the Secret {need.secret}, which is not here. Set it with "
        f"`export {need.variable}=...`{login}, or put the Secret into {file}, beside the job."
    )


def refuse_absent(file: str, spec: Mapping[str, Any], there: Collection[tuple[str, str]]) -> None:
    """Refuse a job whose pods would wait for a Secret or ConfigMap that never comes; `there` are kinds and names."""
    for kind, name in _named(spec.get("podTemplate") or {}):
        if (kind, name) not in there:
            raise JobFileError(
                f"podTemplate names the {kind} {name}, which is not here. Put it into {file}, beside the job."
            )


def _named(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    variables = (each.get("valueFrom") or {} for each in template.get("env") or ())
    volumes = template.get("volumes") or ()
    projected = (source for each in volumes for source in (each.get("projected") or {}).get("sources") or ())
    for source in (*variables, *volumes, *projected):
        for field, kind in KINDS.items():
            wanted = source.get(field)
            if wanted and not wanted.get("optional"):
                yield kind, str(wanted.get("secretName") or wanted.get("name"))
