"""Writes the CRD, and the chart's template of it."""

from finetune_operator.api import crd


def source() -> str:
    """The CRD."""
    return crd.text()


def chart_source() -> str:
    """The CRD as a template, so that `helm upgrade` upgrades it and `helm uninstall` keeps it."""
    head, metadata, body = crd.text().partition("metadata:\n")
    keep = "  annotations:\n    helm.sh/resource-policy: keep\n"
    return "{{- if .Values.crds.install }}\n" + head + metadata + keep + body + "{{- end }}\n"
