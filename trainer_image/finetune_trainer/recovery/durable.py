"""The one durable place of a job's checkpoints, whether the trainer or the author's program writes them."""

from collections.abc import Callable

from finetune_trainer.contract.run_config import CommonRun
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.recovery.artifact_store import ArtifactStore
from finetune_trainer.recovery.stores import Store, StoreUnreachable, VolumeStore
from finetune_trainer.tracking.run import Tracking, wishes

NOT_DURABLE = (
    "Checkpoints stay in the pod: W&B is off or keeps no models, and the job has no checkpoint.volume. A preempted "
    "attempt starts from the beginning."
)


def durable_store(
    config: CommonRun, here: Surroundings, tracking: Callable[[], Tracking | None], kept_by: str | None = None
) -> Store | None:
    """The mounted volume, else the W&B artifact; none where the job has neither, as `NOT_DURABLE` says.

    `kept_by` is the run that logs the artifact, where that is not the job's own.
    """
    if here.checkpoint_dir is not None:
        return VolumeStore(here.checkpoint_dir, config.run_id)
    settings = wishes(config)
    if settings.mode == "online" and settings.log_model != "false":
        return ArtifactStore(settings, config.run_id, tracking, kept_by=kept_by)
    return None


def has_finished(store: Store | None) -> bool:
    """Whether the job's work was done by an earlier attempt, as far as the place can be asked."""
    try:
        return store is not None and store.has_finished()
    except StoreUnreachable:
        return False  # The restore that follows decides what this means.
