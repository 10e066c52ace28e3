"""One task prepared in the test's own process, or refused."""

from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import prepared

from tests.trainer import tiny


def whole(blocks: dict[str, Any], **changes: Any) -> RunConfig:
    """A job of some blocks; `changes` replace them, those of the data set are merged."""
    made = tiny.config().model_dump(mode="json", exclude_unset=True) | blocks
    dataset = made["dataset"] | changes.pop("dataset", {})
    return RunConfig.model_validate(made | changes | {"dataset": dataset})


def ready(folder: Path, blocks: dict[str, Any], **changes: Any) -> Prepared:
    """The task of such a job."""
    job = whole(blocks, **changes)
    wanted = plan(job, 1)
    return prepared(job, wanted, training_arguments(wanted, folder / "out"), folder / "cache")


def refusal(folder: Path, blocks: dict[str, Any], **changes: Any) -> ConfigurationError:
    """What the task is refused with."""
    with pytest.raises(ConfigurationError) as raised:
        ready(folder, blocks, **changes)
    return raised.value
