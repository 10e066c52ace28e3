"""A table of predictions: always the same examples, in the first evaluation after every so many epochs."""

from typing import Any

import torch
import transformers

from finetune_trainer.callbacks.scene import Scene
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.measuring.showing import Shown, batches
from finetune_trainer.tracking import media

NAME = "eval/predictions"


def callback(scene: Scene) -> "PredictionTable | None":
    """Where the job asks for it and W&B is there to show it."""
    if scene.config.evaluation.prediction_table is None:
        return None
    if scene.ready.shown is None:
        raise ConfigurationError(
            "PredictionTableUnsuitable",
            f"evaluation.predictionTable is not built for {scene.config.task}. Leave it out.",
        )
    if scene.ready.eval_dataset is None:
        raise ConfigurationError(
            "PredictionTableUnsuitable",
            "evaluation.predictionTable shows examples of the evaluation. Set training.eval_strategy: epoch.",
        )
    return PredictionTable(scene, scene.ready.shown) if scene.is_tracked else None


class PredictionTable(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us.
    """Predicts the first examples on every rank, as each may hold a part of the model; rank 0 shows them."""

    def __init__(self, scene: Scene, shown: Shown) -> None:
        self._scene = scene
        self._shown = shown

    def on_evaluate(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """An evaluation has ended, and is the last row that the state knows."""
        wanted = self._scene.config.evaluation.prediction_table
        if wanted is not None and is_due(state, wanted.every_epochs):
            columns, rows = self._predicted(wanted.rows)
            step, epoch = state.global_step, round(state.epoch or 0.0, 4)
            told = [(epoch, step, number, *row) for number, row in enumerate(rows)]
            self._scene.show({NAME: media.table(("epoch", "step", "row", *columns), told)})

    def _predicted(self, most: int) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        trainer = self._scene.trainer
        was_training = trainer.model.training
        trainer.model.eval()
        devices = [trainer.args.device] if trainer.args.device.type == "cuda" else []
        # Nothing is drawn in an evaluation, or should a model do so, training does not notice.
        with torch.random.fork_rng(devices), torch.no_grad(), trainer.compute_loss_context_manager():
            parts = [self._shown(trainer, batch) for batch in batches(trainer, self._scene.ready.eval_dataset, most)]
        trainer.model.train(was_training)
        return parts[0][0], [row for _, rows in parts for row in rows]


def is_due(state: Any, every: int) -> bool:
    """Whether the evaluation is the first after the end of every so many epochs, or that of the last step.

    Decided by the rows that the Trainer keeps, which a checkpoint holds: a restart changes nothing.
    """
    evaluated = [row for row in state.log_history if any(name.startswith("eval_") for name in row)]
    if sum(row["step"] == state.global_step for row in evaluated) > 1:
        return False  # A further set of the same evaluation.
    before = max((row["epoch"] for row in evaluated if row["step"] < state.global_step), default=0.0)
    return _passed(state.epoch, every) > _passed(before, every) or state.global_step >= state.max_steps


def _passed(epoch: float | None, every: int) -> int:
    return int((epoch or 0.0) + 1e-6) // every
