"""What is learned of marked texts: labels of words and of texts, amounts, answers; on the sandbox's rows and model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_sandbox.hub import marked, models

from tests.trainer import tiny

TRAIN, HELD_OUT = 24, 8
CASES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "token-classification": (
        marked.conll,
        {
            "columns": {"tokens": "tokens", "tags": "ner_tags"},
            "labels": marked.ENTITIES,
            "labelWeights": {"O": 0.2, "B-PER": 3.0},
        },
    ),
    "question-answering": (
        marked.squad,
        {"columns": {"question": "question", "context": "context", "answers": "answers"}},
    ),
    "several labels": (
        marked.emotions,
        {
            "columns": {"text": ["text"], "label": "labels"},
            "labels": marked.EMOTIONS,
            "labelWeights": {"neutral": 0.5, "anger": 4.0},
        },
    ),
    "amounts": (marked.similar, {"columns": {"text": ["sentence1", "sentence2"], "label": "score"}}),
}
TASKS = tuple(CASES)
"""Those that train differently."""
PIECES = {"maxLength": 32, "stride": 8}
"""The invented stories are longer than this."""
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def blocks(folder: Path, case: str, *, dropout: bool = True) -> dict[str, Any]:
    """What a job says of its model and its data, both made in the folder where they are missing."""
    make, said = CASES[case]
    if not (folder / "model").exists():
        models.bert(folder / "model")
        (folder / "data").mkdir(parents=True)
        for split, count in (("train", TRAIN), ("validation", HELD_OUT)):
            tiny.jsonl_file(folder / "data" / f"{split}.jsonl", make(split, count))
    task = case if case.endswith(("classification", "answering")) else "text-classification"
    return {
        "task": task,
        "model": {"uri": f"file://{folder / 'model'}", "config": {} if dropout else NO_DROPOUT},
        "dataset": {"uri": f"file://{folder / 'data'}", **said},
        "tokenizer": PIECES if task == "question-answering" else {},
    }
