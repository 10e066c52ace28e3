"""What a run shows beside its numbers: nothing twice, nothing lost, and no trace of it in the training."""

# ruff: noqa: F811 - Fixtures are imported by the names that tests ask for them.

from pathlib import Path
from typing import Any

import pytest
from finetune_sandbox.wandb_server.embedded import WandbServer

from tests.trainer.resume_fixtures import config, job, material, server, socket, tracked  # noqa: F401
from tests.trainer.running import Job, Running, lasting, weights
from tests.trainer.test_evaluation import taken_away

pytestmark = pytest.mark.training

SHOWN: dict[str, Any] = {
    "evaluation": {"predictionTable": {"rows": 5}, "confusionMatrix": True},
    "wandb": {"project": "tests", "group": "compared", "watch": "gradients"},
    "training": {"eval_strategy": "epoch"},
}


def story(server: WandbServer, name: str) -> list[dict[str, Any]]:
    """The run's rows, each table by the hash of its content."""
    return [{column: _content(value) for column, value in lasting(row)} for row in server.run(name).history]


def _content(value: Any) -> Any:
    return value.get("sha256", value) if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def plain(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], socket: Path, server: WandbServer
) -> Running:
    """An undisturbed run that shows all that there is."""
    one = Job(folder=tmp_path_factory.mktemp("plain"), config=config, socket=socket)
    return tracked(one, server, "plain", **SHOWN).finish()


def test_tables_matrices_and_histograms_are_those_of_an_undisturbed_run(
    job: Job, server: WandbServer, plain: Running
) -> None:
    again = taken_away(tracked(job, server, "again", **SHOWN), 10, 16)

    assert (weights(again), story(server, "again")) == (weights(plain), story(server, "plain"))
