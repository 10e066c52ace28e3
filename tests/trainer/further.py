"""The further tasks on tiny models of the sandbox's hub, with a few of its rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_sandbox.hub import encoder_decoder, leaves, models, rows, stories, vision

from tests.trainer import classifying, tiny

TRAIN, HELD_OUT = 24, 8
ENDINGS = [f"ending{number}" for number in range(stories.ENDINGS)]
TASKS = ("fill-mask", "summarization", "multiple-choice", "image-classification", *classifying.TASKS)
"""Those that train differently; translation is summarization with other metrics."""
COLUMNS: dict[str, dict[str, Any]] = {
    "fill-mask": {"text": ["text"]},
    "summarization": {"source": "document", "target": "summary"},
    "translation": {"source": "translation.en", "target": "translation.fr"},
    "multiple-choice": {"text": ["sent1", "sent2"], "choices": ENDINGS, "label": "label"},
    "image-classification": {"image": "image", "label": "labels"},
}
ROWS: dict[str, Callable[..., Any]] = {
    "fill-mask": rows.text,
    "summarization": stories.xsum,
    "translation": stories.books,
    "multiple-choice": stories.swag,
}
MODELS: dict[str, Callable[..., None]] = {
    "fill-mask": models.bert,
    "summarization": encoder_decoder.t5,
    "translation": encoder_decoder.t5,
    "multiple-choice": models.bert,
    "image-classification": vision.vit,
}
NO_DROPOUT: dict[str, dict[str, float]] = {
    "google-t5": {"dropout_rate": 0.0},
    "others": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
}
WRITING = {"generation": {"maxNewTokens": 6}}


def blocks(folder: Path, task: str, *, dropout: bool = True) -> dict[str, Any]:
    """What a job of the task says of its model and its data, both made in the folder where they are missing."""
    if task in classifying.TASKS:
        return classifying.blocks(folder, task, dropout=dropout)
    if not (folder / "model").exists():
        MODELS[task](folder / "model")
    writes = MODELS[task] is encoder_decoder.t5
    without = NO_DROPOUT["google-t5" if writes else "others"]
    made: dict[str, Any] = {
        "task": task,
        "model": {"uri": f"file://{folder / 'model'}", "config": {} if dropout else without},
        "dataset": {"uri": f"file://{_data(folder, task)}", "columns": COLUMNS[task]},
    }
    return {**made, "evaluation": WRITING} if writes else made


def _data(folder: Path, task: str) -> Path:
    """A folder with a train and a validation file."""
    data = folder / "data"
    if data.exists():
        return data
    if task == "image-classification":
        leaves.beans(folder, sizes={"train": TRAIN, "validation": HELD_OUT})
        return data
    data.mkdir()
    for split, count in (("train", TRAIN), ("validation", HELD_OUT)):
        tiny.jsonl_file(data / f"{split}.jsonl", ROWS[task](split, count))
    return data
