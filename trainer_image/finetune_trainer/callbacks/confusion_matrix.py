"""How often each class was taken for each, in every evaluation."""

from typing import Any

import transformers

from finetune_trainer.callbacks.scene import Scene
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.measuring.metrics import confusion
from finetune_trainer.tracking import media

MOST = 100
NAME = "eval/confusion_matrix"


def callback(scene: Scene) -> "ConfusionMatrix | None":
    """Where the job asks for it and W&B is there to show it."""
    if not scene.config.evaluation.confusion_matrix:
        return None
    answers = scene.ready.answers
    if answers is None or not answers.names:
        raise ConfigurationError(
            "ConfusionMatrixUnsuitable",
            f"evaluation.confusionMatrix: {scene.config.task} does not choose one of several classes here. Leave it "
            "out.",
        )
    if len(answers.names) > MOST:
        raise ConfigurationError(
            "ConfusionMatrixUnsuitable",
            f"evaluation.confusionMatrix: {len(answers.names)} classes are too many to show; {MOST} are the most. "
            "Leave it out.",
        )
    return ConfusionMatrix(scene) if scene.is_tracked else None


class ConfusionMatrix(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us.
    """Shows the matrix of the evaluation that has just ended."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def on_evaluate(self, *_args: Any, metrics: Any = None, **_kwargs: Any) -> None:
        """Count what the rows of the evaluation split say."""
        answers, evaluated = self._scene.ready.answers, self._scene.trainer.evaluated
        if answers is not None and evaluated is not None and "eval_loss" in (metrics or {}):
            predicted, right = answers.of(evaluated)
            counts = confusion(predicted, right, len(answers.names))
            self._scene.show({NAME: media.confusion(answers.names, counts.tolist())})
