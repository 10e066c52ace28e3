"""The Trainer's callbacks that tell the world how it goes: the progress board and the W&B run."""

import time
from typing import Any

import transformers

from finetune_trainer.contract.outcome import TrainerState
from finetune_trainer.pod.progress import ProgressBoard
from finetune_trainer.tracking.history import row
from finetune_trainer.tracking.models_out import ModelsOut
from finetune_trainer.tracking.run import Tracking
from finetune_trainer.trainer import RecoverableTrainer


class ProgressCallback(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us.
    """Writes the progress that /progress answers."""

    def __init__(self, board: ProgressBoard, trainer: RecoverableTrainer, started: float) -> None:
        self._board = board
        self._trainer = trainer
        self._started: float | None = started

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """What is about to run, and by which strategy; a strategy that is not in effect ends it here."""
        self._board.tell(strategy=self._trainer.strategy(), step=state.global_step, max_steps=state.max_steps)

    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """From the first step on, whoever makes none is silent."""
        self._trainer.guard.stepped()

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """A step was made."""
        if self._started is not None:
            self._board.phase_took("firstStep", time.monotonic() - self._started)
            self._started = None
        self._board.tell_step(
            state=TrainerState.TRAINING,
            step=state.global_step,
            epoch=state.epoch,
            seconds_per_step=self._trainer.seconds_per_step,
        )

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: Any = None, **_kwargs: Any) -> None:
        """A loss was logged."""
        if logs and "loss" in logs:
            self._board.tell(loss=logs["loss"])

    def on_prediction_step(self, *_args: Any, **_kwargs: Any) -> None:
        """An evaluation is under way."""
        if self._board.progress.state is not TrainerState.EVALUATING:
            self._board.tell(state=TrainerState.EVALUATING)


class TrackingCallback(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us.
    """Sends rows, and models when WANDB_LOG_MODEL says checkpoint."""

    def __init__(self, tracking: Tracking, models: ModelsOut) -> None:
        self._tracking = tracking
        self._models = models

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_kwargs: Any) -> None:
        """One of the Trainer's logs becomes a row."""
        self._tracking.log(row(logs or {}, state.global_step))

    def on_save(self, args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """The user's own save."""
        if self._tracking.wishes.log_model == "checkpoint":
            self._models.publish_save(args.output_dir, state.global_step, state.epoch)
