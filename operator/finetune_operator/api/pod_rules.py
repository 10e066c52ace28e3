"""What the API server refuses in podTemplate: whatever would change who the pod is, or reach the node."""

from finetune_trainer.contract import environment

from finetune_operator import names
from finetune_operator.api.rule import Rule, refused

OUR_PATHS = (
    environment.CONFIG_DIR,
    environment.DEFAULT_WORK_DIR,
    environment.DEFAULT_CHECKPOINT_DIR,
    environment.DEFAULT_OUTPUT_DIR,
)
SCRATCH = "/tmp"  # noqa: S108 (the pod's own)
NODE_PATHS = ("/dev", "/proc", "/sys")
OUR_VOLUMES = ("config", "work", "tmp", "shm", "checkpoints", "model-output")
SOURCES = ("persistentVolumeClaim", "configMap", "secret", "emptyDir", "projected", "csi", "ephemeral", "image")
COUNTED = ", ".join(f"has(self.{source})" for source in SOURCES)
TAKEN = ", ".join(f"'{path}'" for path in ("/", SCRATCH, *OUR_PATHS, *NODE_PATHS))
INSIDE = " || ".join(f"self.startsWith('{path}/')" for path in (*OUR_PATHS, *NODE_PATHS))

ENV = (
    Rule(
        at="spec.podTemplate.env[].name",
        rule="!(self in ['WANDB_RUN_ID', 'WANDB_RESUME', 'POD_IP']) && !self.startsWith('FINETUNE_')",
        message="WANDB_RUN_ID, WANDB_RESUME, POD_IP and FINETUNE_ variables are set by the operator; leave them out.",
    ),
    Rule(
        at="spec.podTemplate.env[].name",
        rule="self != 'WANDB_API_KEY'",
        message="A key does not belong into the environment of every pod; use wandb.secretRef.",
    ),
    Rule(
        at="spec.podTemplate.env[].name",
        rule="!(self in ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN'])",
        message="A token does not belong into podTemplate.env; use hub.secretRef.",
    ),
    Rule(
        at="spec.podTemplate.env[].name",
        rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",
        message="A variable's name has letters, digits and _, and does not begin with a digit.",
    ),
    Rule(
        at="spec.podTemplate.env[]",
        rule="!(has(self.value) && has(self.valueFrom))",
        message="Set either value or valueFrom.",
    ),
    Rule(
        at="spec.podTemplate.env[].valueFrom",
        rule="[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(set, set).size() == 1",
        message="Set one of secretKeyRef, configMapKeyRef and fieldRef.",
    ),
)

VOLUMES = (
    refused(
        "spec.podTemplate.volumes[]", "hostPath", "A job has no right to the node's files; use a persistentVolumeClaim."
    ),
    refused(
        "spec.podTemplate.volumes[].projected.sources[]",
        "serviceAccountToken",
        "A trainer has no access to the cluster's API; leave it out.",
    ),
    Rule(
        at="spec.podTemplate.volumes[]",
        rule=f"has(self.hostPath) || [{COUNTED}].filter(set, set).size() == 1",
        message=f"A volume has exactly one source: {', '.join(SOURCES[:-1])} or {SOURCES[-1]}.",
    ),
    Rule(
        at="spec.podTemplate.volumes[].name",
        rule=f"!(self in [{', '.join(repr(name) for name in OUR_VOLUMES)}])",
        message=f"The volumes {', '.join(OUR_VOLUMES)} are the operator's; choose another name.",
    ),
    Rule(
        at="spec.podTemplate.volumeMounts[].mountPath",
        rule="self.startsWith('/') && !self.matches('(:|//|/[.][.]?(/|$))')",
        message="A mountPath is absolute and plain, without :, //, /. and /..; correct it.",
    ),
    Rule(
        at="spec.podTemplate.volumeMounts[].mountPath",
        rule=f"!(self in [{TAKEN}]) && !({INSIDE})",
        message=f"Choose another path: /, {', '.join((SCRATCH, *OUR_PATHS, *NODE_PATHS))} are not the job's.",
    ),
    Rule(
        at="spec.podTemplate",
        rule="!has(self.volumeMounts) "
        "|| self.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name))",
        message="Every entry of volumeMounts names one of podTemplate.volumes; add the volume or correct the name.",
        field=".volumeMounts",
    ),
)

WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
HOST = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
WORDED = "at most 63 letters, digits, -, _ and ., a letter or digit first and last"


def named(at: str) -> Rule:
    """The names in a map are such as Kubernetes lets a label or an annotation have."""
    return Rule(
        at=at,
        # Of an annotation, Kubernetes takes a prefix in capitals too.
        rule=f"self.all(k, k.matches('^({'?i:' * at.endswith('annotations')}{HOST}/)?{WORD}$'))",
        message=f"A name here is like team or example.com/team, with {WORDED}; correct it.",
    )


def labeled(at: str) -> Rule:
    """The values in a map are such as Kubernetes lets a label have."""
    return Rule(
        at=at,
        rule=f"self.all(k, self[k].matches('^({WORD})?$'))",
        message=f"A label's value is empty or has {WORDED}; correct it.",
    )


LABELS = (
    *(
        Rule(
            at=f"spec.podTemplate.{block}",
            rule=f"self.all(k, !k.startsWith('{names.GROUP}/'))",
            message=f"{block.capitalize()} that begin with {names.GROUP}/ are the operator's; leave them out.",
        )
        for block in ("labels", "annotations")
    ),
    *(named(f"spec.podTemplate.{block}") for block in ("labels", "annotations", "nodeSelector")),
    *(labeled(f"spec.podTemplate.{block}") for block in ("labels", "nodeSelector")),
)

GPU = "^(nvidia\\\\.com|amd\\\\.com|gpu\\\\.intel\\\\.com|habana\\\\.ai)/"

RESOURCES = (
    *(
        Rule(
            at=f"spec.podTemplate.resources.{block}",
            rule=f"self.all(k, !k.matches('{GPU}'))",
            message="GPUs are asked for with compute.gpusPerNode and compute.gpuResource; leave them out here.",
        )
        for block in ("requests", "limits")
    ),
    *(
        Rule(
            at="spec",
            rule=f"!has(self.podTemplate.resources.{block}) "
            f"|| !(self.compute.gpuResource in self.podTemplate.resources.{block})",
            message="GPUs are asked for with compute.gpusPerNode and compute.gpuResource; leave them out here.",
            field=f".podTemplate.resources.{block}",
        )
        for block in ("requests", "limits")
    ),
    *(
        Rule(
            at="spec",
            rule=f"!has(self.compute.{field}) || !has(self.podTemplate.resources.requests) "
            f"|| !('{name}' in self.podTemplate.resources.requests)",
            message=f"The {name} is asked for twice; leave out compute.{field} or the request here.",
            field=".podTemplate.resources.requests",
        )
        for field, name in (("cpusPerNode", "cpu"), ("memoryPerNode", "memory"))
    ),
)

RULES = (*ENV, *VOLUMES, *LABELS, *RESOURCES)
