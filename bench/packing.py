"""Tokens a second of a language model with short texts, each in a sequence of its own and packed."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.figures import median, table
from bench.trainings import SETTLED, Ran, supervised

BATCH = 8


def measured(folder: Path, times: int) -> dict[str, Any]:
    """Both ways at the same time, each on a core of its own, so many times; they change cores each time."""
    found: list[tuple[float, float]] = []
    with ThreadPoolExecutor(2) as both:
        for turn in range(times):
            core = turn % 2
            apart = both.submit(_rate, folder, f"apart-{turn}", core, packing=False)
            packed = both.submit(_rate, folder, f"packed-{turn}", 1 - core, packing=True)
            found.append((packed.result(), apart.result()))
    return {
        "apart_tokens_per_second": round(median(apart for _, apart in found)),
        "packed_tokens_per_second": round(median(packed for packed, _ in found)),
        "ratio": round(fmean(packed / apart for packed, apart in found), 2),
    }


def _rate(folder: Path, name: str, core: int, *, packing: bool) -> float:
    """Tokens of the data a second, over one epoch but its first steps."""
    config = {
        "task": "text-generation",
        "model": {"uri": f"file://{folder / 'language-model'}"},
        "dataset": {"uri": f"file://{folder / 'texts.csv'}", "columns": {"text": ["text"]}},
        "tokenizer": {"packing": packing, "maxLength": 256},
        "training": {"num_train_epochs": 1, "per_device_train_batch_size": BATCH, "logging_steps": 10},
    }
    ran: Ran = supervised(folder / name, config, core, {})
    steps = SETTLED + 1 + len(ran.intervals)
    tokens: int = json.loads((folder / "tokens.json").read_text())
    return tokens / steps * ran.rate


def shown(found: Mapping[str, Any]) -> str:
    """The figures as a table."""
    rows = [
        ("each text apart", found["apart_tokens_per_second"], ""),
        ("packed", found["packed_tokens_per_second"], found["ratio"]),
    ]
    return table("texts of 5 to 200 words, at most 256 in a sequence", ("GPT-2", "tokens/s", "of apart"), rows)
