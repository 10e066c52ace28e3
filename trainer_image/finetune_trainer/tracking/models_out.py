"""Models for people: the artifact `model-{run_id}`, linked under the run's name as the W&B guides have it."""

import logging
from pathlib import Path
from typing import Any

import wandb

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.files import NOT_A_MODEL, files_in
from finetune_trainer.tracking.artifacts import add_files
from finetune_trainer.tracking.run import LOST, Tracking, bounded, brief

log = logging.getLogger(__name__)


class ModelsOut:
    """Publishes models, without what only resuming needs."""

    def __init__(self, tracking: Tracking, config: RunConfig) -> None:
        self._tracking = tracking
        self._config = config
        self.published: Any = None
        """The committed version of the final model."""

    def publish_save(self, output_dir: str, step: int, epoch: float | None) -> None:
        """Publish one of the user's saves, in the background of the SDK."""
        run = self._tracking.run
        folder = Path(output_dir) / f"checkpoint-{step}"
        if run is None or not folder.is_dir():
            return
        aliases = [f"checkpoint_global_step_{step}", f"epoch_{round(epoch or 0, 2)}", "latest"]
        try:
            run.log_artifact(self._artifact(folder, {"step": step}), aliases=aliases)
        except (wandb.errors.Error, ValueError, OSError, *LOST) as problem:
            log.warning("The model of step %s was not published: %s", step, brief(problem))

    def publish_final(self, folder: Path, *, is_best: bool, patience: float) -> bool:
        """Publish the final model and wait until it is committed; tell whether it is, or is not wanted."""
        if self._tracking.wishes.log_model == "false" or self._tracking.wishes.mode != "online":
            return True
        run = self._tracking.run
        return run is not None and bounded(lambda: self._deliver(run, folder, is_best=is_best), patience)

    def _deliver(self, run: Any, folder: Path, *, is_best: bool) -> None:
        aliases = ["latest", "final_model", *(["best"] if is_best else [])]
        logged = run.log_artifact(self._artifact(folder, {"final": True}, stays=True), aliases=aliases)
        logged.wait()
        self.published = logged
        if run.name and run.name != run.id:
            run.link_artifact(logged, f"model-{safe(run.name)}", aliases=aliases)

    def _artifact(self, folder: Path, metadata: dict[str, Any], *, stays: bool = False) -> Any:
        job = self._config.job
        artifact = wandb.Artifact(
            f"model-{self._config.run_id}", type="model", metadata={**metadata, "job": job.name, "job_uid": job.uid}
        )
        model = {name: path for name, path in files_in(folder).items() if _is_of_a_model(name)}
        add_files(artifact, model, stay=stays)
        return artifact


def _is_of_a_model(name: str) -> bool:
    top = Path(Path(name).parts[0])
    return not any(top.match(pattern) for pattern in NOT_A_MODEL)


def safe(name: str) -> str:
    """A name that W&B takes for an artifact."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in name)[:120]
