"""The test split, predicted by the final model: metrics in the run, and a file of predictions beside the model."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from finetune_trainer.measuring.showing import Answers, batches
from finetune_trainer.prepared import Prepared

FILE = "test_predictions.jsonl"
PREFIX = "test"

Prediction = Mapping[str, Any]


def predicted(trainer: Any, ready: Prepared) -> tuple[Prediction, ...]:
    """Measure the test split on all ranks and log it; what the model says of every example, where a task can tell.

    A stop is heard between two batches, as an EvaluationInterrupted, and nothing was logged then.
    """
    if ready.test_dataset is None:
        return ()
    output = trainer.predict(ready.test_dataset, metric_key_prefix=PREFIX)
    found = tuple(_each(trainer, ready, output))
    trainer.log(output.metrics)
    return found


def _each(trainer: Any, ready: Prepared, output: Any) -> Iterator[Prediction]:
    if ready.answers is not None and output.predictions is not None:
        return _answered(ready.answers, output)
    return _shown(trainer, ready) if ready.shown is not None else iter(())


def _answered(answers: Answers, output: Any) -> Iterator[Prediction]:
    said, right = (values.tolist() for values in answers.of(output))
    named = (lambda number: answers.names[number]) if answers.names else (lambda value: value)
    for row, (prediction, label) in enumerate(zip(said, right, strict=True)):
        yield {"row": row, "label": named(label), "prediction": named(prediction)}


def _shown(trainer: Any, ready: Prepared) -> Iterator[Prediction]:
    """What a table of predictions would show; on every rank, as each may hold a part of the model."""
    assert ready.shown is not None and ready.test_dataset is not None  # noqa: S101, PT018 - The caller looked.
    trainer.model.eval()
    row = 0
    with torch.no_grad(), trainer.compute_loss_context_manager():
        for batch in batches(trainer, ready.test_dataset, len(ready.test_dataset)):
            columns, rows = ready.shown(trainer, batch)
            for one in rows:
                yield {"row": row, **dict(zip(columns, one, strict=True))}
                row += 1
            trainer.between_batches()


def write(predictions: tuple[Prediction, ...], folder: Path) -> None:
    """Put the predictions beside the model, one line of JSON for each example, in the split's order."""
    if predictions:
        lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in predictions)
        (folder / FILE).write_text("".join(lines), encoding="utf-8")
