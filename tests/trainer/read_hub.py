"""Prepares jobs from the Hub that HF_ENDPOINT names, as a pod does: `read_hub.py FOLDER`, which holds `cases.json`.

A process of its own, because the Hub's clients read the endpoint when they are imported. Writes `answers.json`: for
each case the sizes of its data, or the kind, reason and message of its refusal.
"""

import json
import sys
from pathlib import Path
from typing import Any

from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import TrainerError
from finetune_trainer.tasks import prepared


def answer(case: dict[str, Any], folder: Path) -> list[Any]:
    """What became of one job."""
    config = RunConfig.model_validate(case)
    wanted = plan(config, 1)
    try:
        ready = prepared(config, wanted, training_arguments(wanted, folder / "out"), folder / "cache")
    except TrainerError as problem:
        return [type(problem).__name__, problem.reason, problem.message]
    labels = [*ready.model.config.id2label.values()] if config.task == "text-classification" else []
    return [len(ready.train_dataset), len(ready.eval_dataset), labels]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    cases = json.loads((place / "cases.json").read_text())
    answers = {name: answer(case, place) for name, case in cases.items()}
    (place / "answers.json").write_text(json.dumps(answers))
