"""Prepares jobs from the Hub that HF_ENDPOINT names, as a pod does.

A process of its own, because the Hub's clients read the endpoint when they are imported. Reads the names of folders
from standard input, each of which holds `cases.json`. Writes `answers.json` there, and then the folder's name to
standard output: for each case the sizes of its data, or the kind, reason and message of its refusal.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from finetune_trainer import weightless
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import TrainerError
from finetune_trainer.tasks import prepared


def answer(case: dict[str, Any], folder: Path) -> list[Any]:
    """What became of one job, whose token goes to the Hub with every request, and whose checkpoint may be restored."""
    os.environ["HF_TOKEN"] = case.pop("token")
    restored = Path(case.pop("restored"))
    config = RunConfig.model_validate(case)
    wanted = plan(config, 1)
    try:
        with weightless.going_on(restored, config):
            ready = prepared(config, wanted, training_arguments(wanted, folder / "out"), folder / "cache")
    except TrainerError as problem:
        return [type(problem).__name__, problem.reason, problem.message]
    labels = [*ready.model.config.id2label.values()] if config.task == "text-classification" else []
    return [len(ready.train_dataset), len(ready.eval_dataset), labels]


if __name__ == "__main__":
    for name in map(str.strip, sys.stdin):
        place = Path(name)
        cases = json.loads((place / "cases.json").read_text())
        answers = {case: answer(blocks, place) for case, blocks in cases.items()}
        (place / "answers.json").write_text(json.dumps(answers))
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
