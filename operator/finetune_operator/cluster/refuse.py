"""What is said about a job that the models cannot read: the CRD of another version let it in."""

from datetime import datetime

from finetune_operator.api.legible import legible
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.v1alpha1 import ObjectMeta
from finetune_operator.cluster.carry_out import merge_patch, shown
from finetune_operator.cluster.observe import metadata
from finetune_operator.cluster.port import Manifest
from finetune_operator.core import finish

TOLD = ("observedGeneration", "phase", "conditions")
"""All that changes: the rest may be in words that this operator does not know."""


def refusal(manifest: Manifest, problem: str, now: datetime) -> Manifest | None:
    """The patch of the status that says so; None when it says so already, or when the job has succeeded."""
    before = told(manifest.get("status") or {})
    meta = ObjectMeta.model_validate(metadata(manifest))
    decision = finish.unreadable(meta, legible(FineTuneJobStatus, before), problem, now.replace(microsecond=0))
    return merge_patch(before, told(shown(decision.status))) or None


def told(status: Manifest) -> Manifest:
    """What the status says in words that every version knows."""
    return {name: status[name] for name in TOLD if name in status}
