"""Which jobs may watch their gradients and parameters."""

from typing import Any

import pytest
from finetune_trainer.callbacks import watching
from finetune_trainer.errors import ConfigurationError

from tests.trainer import tiny

pytestmark = pytest.mark.training

KEY = {"WANDB_API_KEY": "a-key"}


@pytest.mark.parametrize(
    ("wandb", "env"),
    [
        pytest.param({"watch": "all"}, KEY, id="in the job"),
        pytest.param({}, {**KEY, "WANDB_WATCH": "gradients"}, id="by the variable"),
        pytest.param({"watch": "parameters", "mode": "offline"}, {}, id="offline"),
    ],
)
def test_histograms_of_what_fsdp_shares_out_are_refused(wandb: dict[str, Any], env: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        watching.check(tiny.config(wandb=wandb, distributed={"fsdp": {}}), env)

    assert (raised.value.reason, 'Set wandb.watch: "false".' in raised.value.message) == ("WatchUnsuitable", True)


@pytest.mark.parametrize(
    ("blocks", "env"),
    [
        pytest.param({"distributed": {"fsdp": {}}}, KEY, id="nothing is watched"),
        pytest.param({"wandb": {"watch": "all"}, "distributed": {"fsdp": {}}}, {}, id="nobody sees it"),
        pytest.param(
            {"wandb": {"watch": "false"}, "distributed": {"fsdp": {}}}, {**KEY, "WANDB_WATCH": "all"}, id="said off"
        ),
        pytest.param({"wandb": {"watch": "all"}, "distributed": {"deepspeed": {"zeroStage": 2}}}, KEY, id="zero"),
        pytest.param({"wandb": {"watch": "all"}}, KEY, id="whole on every process"),
    ],
)
def test_every_other_job_may_watch(blocks: dict[str, Any], env: dict[str, str]) -> None:
    watching.check(tiny.config(**blocks), env)
