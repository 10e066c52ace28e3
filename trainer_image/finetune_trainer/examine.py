"""`python -m finetune_trainer.examine run.json`: what would end a job before its first step, without training it.

Prints a JSON list of findings. Configuration, data and tokenizer are read as the trainer reads them, of the model only
its configuration; what depends on this machine's devices is not judged.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from finetune_trainer import config as configuration
from finetune_trainer.contract.distribution import Distributed
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.training_arguments import TrainingArguments
from finetune_trainer.errors import TrainerError
from finetune_trainer.pod import run_file
from finetune_trainer.weightless import weightless

OF_THE_DEVICE = frozenset(
    {"bf16", "fp16", "tf32", "bf16_full_eval", "fp16_full_eval", "torch_compile", "use_liger_kernel"}
)
"""Arguments that a machine without the job's GPUs may refuse."""

Finding = dict[str, str]
"""A reason and a message, as an outcome has them."""


def findings(config: RunConfig, scratch: Path) -> Iterator[Finding]:
    """What is wrong with a job, each mistake once."""
    world = config.compute.nodes * config.compute.processes_per_node
    checks: tuple[Callable[[], Any], ...] = (
        lambda: configuration.plan(config, world),
        lambda: importable_extensions(config),
        lambda: readable_model(config),
        lambda: prepared(anywhere(config), scratch),
    )
    said: set[str] = set()
    for check in checks:
        try:
            check()
        except TrainerError as problem:
            found = {"reason": problem.reason, "message": problem.message}
        except Exception as problem:  # noqa: BLE001 - Whatever the trainer would end with is what we want to know.
            found = {"reason": "TrainerFailed", "message": f"{type(problem).__name__}: {problem}"}
        else:
            continue
        if found["message"] not in said:
            said.add(found["message"])
            yield found


def anywhere(config: RunConfig) -> RunConfig:
    """The same job without what only its own machines can do."""
    kept = config.training.model_dump(mode="json", exclude_unset=True, exclude=set(OF_THE_DEVICE))
    return config.model_copy(
        update={
            "training": TrainingArguments.model_validate(kept),
            "distributed": Distributed(),
            "model": config.model.model_copy(update={"attn_implementation": None}),
            "global_batch_size": None,
        }
    )


def importable_extensions(config: RunConfig) -> None:
    """Import the author's own code, or say why it cannot be imported."""
    from finetune_trainer import extensions

    extensions.check(config)


def readable_model(config: RunConfig) -> None:
    """Read the model's configuration, or say why it cannot be read."""
    from finetune_trainer import models, sources

    with weightless():
        place = sources.folder(config.model.uri, config.model.revision, what="model")
        models.settings(place, config.model, {})


def prepared(config: RunConfig, scratch: Path) -> None:
    """Prepare the job as for training, but for the weights."""
    from finetune_trainer import tasks

    with weightless():
        wanted = configuration.plan(config, 1)
        args = configuration.training_arguments(wanted, scratch / "output")
        tasks.prepared(config, wanted, args, scratch / "prepared")


def main() -> int:
    """Print the findings of a run.json; exit status 1 when there is any."""
    told = sys.stdout
    sys.stdout = sys.stderr  # What libraries print is no finding.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        config = run_file.load(Path(sys.argv[1]))
        found = [*findings(config, Path(scratch))] if isinstance(config, RunConfig) else []
    told.write(json.dumps(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
