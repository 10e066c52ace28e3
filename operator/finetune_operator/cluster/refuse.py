"""What is said about a job that the models cannot read: the CRD of another version let it in."""

from datetime import datetime

from finetune_operator.api.conditions import ConditionStatus, ConditionType, Verdict, transition
from finetune_operator.cluster.port import Manifest

REASON = "InvalidSpec"
NEXT_STEP = "Edit the job, or update the operator and its CRD."


def refusal(manifest: Manifest, sentence: str, now: datetime) -> Manifest | None:
    """The status that says so, None when it says so already."""
    generation = manifest["metadata"]["generation"]
    message = f"The job cannot be read: {sentence} {NEXT_STEP}"
    verdicts = [
        Verdict(type=kind, status=status, reason=REASON, message=message)
        for kind, status in (
            (ConditionType.STALLED, ConditionStatus.TRUE),
            (ConditionType.READY, ConditionStatus.FALSE),
        )
    ]
    conditions = [each.model_dump(mode="json") for each in transition((), verdicts, generation, now)]
    known = (manifest.get("status") or {}).get("conditions") or ()
    if words(known) == words(conditions):
        return None
    return {"observedGeneration": generation, "conditions": conditions}


def words(conditions: list[Manifest] | tuple[Manifest, ...]) -> frozenset[tuple[str, str, int]]:
    """What conditions say, without their times."""
    return frozenset((each["type"], each.get("message", ""), each.get("observedGeneration", 0)) for each in conditions)
