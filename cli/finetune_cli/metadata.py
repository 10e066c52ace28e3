"""The metadata that every resource has; its schema is the API server's own, in no CRD."""

from finetune_operator.api import crd, pod_rules
from finetune_operator.api.rule import Rule
from finetune_operator.api.structural import Schema

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}


def judged(*rules: Rule) -> Schema:
    """The schema of a map of strings with rules."""
    validations = [crd.validation(rule) for rule in rules]
    return {"type": "object", "additionalProperties": STRING, "x-kubernetes-validations": validations}


METADATA: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        **dict.fromkeys(("name", "generateName", "namespace", "uid", "resourceVersion", "selfLink"), STRING),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), STRING),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), INTEGER),
        **dict.fromkeys(("ownerReferences", "managedFields"), OBJECTS),
        "finalizers": {"type": "array", "items": STRING},
        "labels": judged(pod_rules.named("labels"), pod_rules.labeled("labels")),
        "annotations": judged(pod_rules.named("annotations")),
    },
}
