"""The CustomResourceDefinition, made from the models and the rules; the same input gives the same bytes."""

from typing import Any

import yaml
from finetune_trainer.contract.refused_arguments import OWNED, REMOVED

from finetune_operator import names
from finetune_operator.api.kubernetes_yaml import Plain
from finetune_operator.api.rule import Rule
from finetune_operator.api.rules import RULES
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.structural import Schema, structural
from finetune_operator.api.v1alpha1 import FineTuneJob, FineTuneJobSpec

COLUMNS = (
    ("Phase", "string", ".status.phase", "The state in one word."),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why, in one word."),
    ("Step", "integer", ".status.progress.step", "Optimizer steps done."),
    ("Progress", "string", ".status.progress.percent", "The share that is done."),
    ("Checkpoint", "integer", ".status.checkpoint.step", "The step of the newest durable checkpoint."),
    ("Restarts", "integer", ".status.restarts.total", "How often the job was started again."),
    ("Age", "date", ".metadata.creationTimestamp", "How long ago the job was created."),
)
WIDE_COLUMNS = (
    ("Loss", "number", ".status.progress.loss", "The last logged training loss."),
    ("ETA", "string", ".status.progress.eta", "When training should end, at the present speed."),
    ("Run", "string", ".status.run.url", "The page of the W&B run."),
)
"""What a terminal of 100 columns has no room for; `kubectl get -o wide` shows it."""


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition of FineTuneJob."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": ["all", "finetune"],
            },
            "versions": [version()],
        },
    }


def version() -> dict[str, Any]:
    """The one version that is served and stored."""
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "description": description}
            for name, kind, path, description in COLUMNS
        ]
        + [
            {"name": name, "type": kind, "jsonPath": path, "description": description, "priority": 1}
            for name, kind, path, description in WIDE_COLUMNS
        ],
    }


def schema() -> Schema:
    """The resource's structural schema, with the rules in their places."""
    status = structural(FineTuneJobStatus, spec=False)
    status["properties"]["conditions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    spec = structural(FineTuneJobSpec)
    spec["properties"]["training"]["properties"] |= refused_arguments()
    root: Schema = {
        "description": FineTuneJob.__doc__,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"The version of this schema: {names.API_VERSION}.", "type": "string"},
            "kind": {"description": f"The kind of this resource: {names.KIND}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    for rule in RULES:
        place(root, rule.at).setdefault("x-kubernetes-validations", []).append(validation(rule))
    return root


def refused_arguments() -> Schema:
    """The arguments that are in the schema only so that a rule can say what to use."""
    return {name: refused_argument(kind, text) for name, (kind, text) in {**OWNED, **REMOVED}.items()}


def refused_argument(kind: str, sentence: str) -> Schema:
    """One refused argument."""
    made: Schema = {"description": f"Refused: {sentence[0].lower()}{sentence[1:]}", "type": kind}
    if kind == "object":
        made["x-kubernetes-preserve-unknown-fields"] = True
    if kind == "array":
        made["items"] = {"description": "One entry.", "type": "string"}
    return made


def place(root: Schema, path: str) -> Schema:
    """The node of the schema at a path such as spec.podTemplate.env[].name."""
    node = root
    for name in filter(None, path.replace("[]", ".[]").split(".")):
        node = node["items"] if name == "[]" else node["properties"][name]
    return node


def validation(rule: Rule) -> dict[str, str]:
    """A rule as the CRD writes it."""
    made = {"rule": rule.rule, "message": rule.message, "reason": rule.reason}
    further = {"messageExpression": rule.message_expression, "fieldPath": rule.field}
    return made | {name: text for name, text in further.items() if text}


def text() -> str:
    """The CRD as YAML."""
    head = "# Written by `make generate` from the models of finetune_operator.api; do not edit.\n"
    return head + yaml.dump(crd(), Dumper=Plain, sort_keys=False, width=2**20, allow_unicode=True)
