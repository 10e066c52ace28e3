"""What an evaluation measures in all: the task's metrics, those of each class, and the author's own."""

import re
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from finetune_trainer import extensions
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.measuring import metrics
from finetune_trainer.measuring.showing import Answers
from finetune_trainer.prepared import Prepared

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


class SeveralSets:
    """Mixed into transformers.Trainer, before it: an evaluation measures further sets, each under its own prefix.

    All are measured before anything is said of one: a stop in the middle leaves neither a row nor a trace in what
    callbacks count, and the next attempt does the whole evaluation.
    """

    further: Mapping[str, Any] = MappingProxyType({})
    """The sets by name."""
    args: Any
    compute_metrics: Any
    get_eval_dataloader: Any
    _measured: Mapping[str, tuple[Any, float]] = MappingProxyType({})

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        """The metrics of the evaluation split, and with them those of the others."""
        if eval_dataset is not None or not self.further:
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)  # type: ignore[misc]  # The Trainer's.
        sets = {f"{metric_key_prefix}_{name}": one for name, one in self.further.items()}
        with extensions.aside():  # Training is the same with and without them.
            further = {prefix: self._in_full(one, ignore_keys, prefix) for prefix, one in sets.items()}
        # The evaluation split is the last one, for callbacks look at the rows of the last.
        self._measured = {**further, metric_key_prefix: self._in_full(None, ignore_keys, metric_key_prefix)}
        found = super().evaluate(None, ignore_keys, metric_key_prefix)  # type: ignore[misc]  # As above.
        for prefix, one in sets.items():
            found = {**found, **super().evaluate(one, ignore_keys, prefix)}  # type: ignore[misc]  # As above.
        self._measured = {}
        return found

    def _in_full(self, one: Any, ignore_keys: Any, prefix: str) -> tuple[Any, float]:
        began = time.monotonic()
        only_loss = True if self.compute_metrics is None else None
        loader = self.get_eval_dataloader(one)
        output = super().evaluation_loop(loader, "Evaluation", only_loss, ignore_keys, prefix)  # type: ignore[misc]
        return output, time.monotonic() - began

    def evaluation_loop(self, dataloader: Any, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """What was measured already, else what this measures."""
        if metric_key_prefix in self._measured:
            return self._measured[metric_key_prefix][0]
        return super().evaluation_loop(dataloader, *args, metric_key_prefix=metric_key_prefix, **kwargs)  # type: ignore[misc]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a row; what an evaluation took is what measuring it took."""
        for prefix, (_, seconds) in self._measured.items():
            if f"{prefix}_runtime" in logs:
                logs[f"{prefix}_runtime"] = round(seconds, 4)
                logs.pop(f"{prefix}_samples_per_second", None)
                logs.pop(f"{prefix}_steps_per_second", None)
        super().log(logs, start_time)  # type: ignore[misc]  # The Trainer's.
