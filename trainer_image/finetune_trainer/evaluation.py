"""What an evaluation measures in all: the task's metrics, those of each class, and the author's own."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from finetune_trainer import extensions, metrics
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.showing import Answers
from finetune_trainer.tasks.prepared import Prepared

MOST_CLASSES = 20
"""More classes than this are measured as a whole alone."""


class Measuring:
    """The Trainer's `compute_metrics`; remembers the rows for callbacks that show them."""

    def __init__(self, config: RunConfig, ready: Prepared) -> None:
        self._ready = ready
        self._own = extensions.metrics(config, ready.answers)
        self._has_own_loss = config.extensions.loss is not None
        self._by_class = not config.evaluation.metrics
        self.last: Any = None
        """The rows of the last evaluation; none before the first."""

    def __call__(self, evaluated: Any) -> dict[str, float]:
        """The metrics of an evaluation's rows."""
        self.last = evaluated
        found = dict(self._ready.compute_metrics(evaluated))
        if self._has_own_loss:
            found.pop("loss", None)  # The Trainer's mean over batches remains: the task's is of another loss.
        if self._by_class and self._ready.answers is not None:
            found |= by_class(self._ready.answers, evaluated)
        return found | self._own(evaluated)


def by_class(answers: Answers, evaluated: Any) -> Mapping[str, float]:
    """Precision, recall and F1 of each class, where they are few."""
    if not 2 <= len(answers.names) <= MOST_CLASSES:
        return {}
    return dict(_each(answers, evaluated))


def _each(answers: Answers, evaluated: Any) -> Iterator[tuple[str, float]]:
    counts = metrics.confusion(*answers.of(evaluated), len(answers.names))
    for number, name in enumerate(answers.names):
        right, told, there = (
            int(one) for one in (counts[number, number], counts[:, number].sum(), counts[number].sum())
        )
        column = re.sub(r"[^\w.-]+", "_", name)
        yield f"precision_{column}", right / told if told else 0.0
        yield f"recall_{column}", right / there if there else 0.0
        yield f"f1_{column}", 2 * right / (told + there) if told + there else 0.0
