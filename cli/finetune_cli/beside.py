"""What a job's pods read beside the job: on this machine only what stands in its file."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from finetune_cli.jobs import JobFileError

KINDS = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap", "secret": "Secret", "configMap": "ConfigMap"}
"""What each way to name an object names."""


def refuse_absent(file: str, spec: Mapping[str, Any], there: Collection[tuple[str, str]]) -> None:
    """Refuse a job whose pods would wait for a Secret or ConfigMap that never comes; `there` are kinds and names."""
    for kind, name in _named(spec.get("podTemplate") or {}):
        if (kind, name) not in there:
            raise JobFileError(
                f"podTemplate names the {kind} {name}, which is not here. Put it into {file}, beside the job."
            )


def _named(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sources = [each.get("valueFrom") or {} for each in template.get("env") or ()]
    for source in (*sources, *(template.get("volumes") or ())):
        for field, kind in KINDS.items():
            wanted = source.get(field)
            if wanted and not wanted.get("optional"):
                yield kind, str(wanted.get("secretName") or wanted.get("name"))
