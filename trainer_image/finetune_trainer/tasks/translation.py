"""Translation: a text becomes one in another language, measured by BLEU."""

from pathlib import Path
from typing import Any

from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import seq2seq

METRICS = ("bleu",)


def prepared(config: RunConfig, plan: Plan, args: Any, cache: Path) -> Prepared:
    """An encoder-decoder and pairs of texts."""
    return seq2seq.prepared(config, plan, args, cache, usual=METRICS)
