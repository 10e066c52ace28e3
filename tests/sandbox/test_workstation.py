"""The cluster of `finetune run`: what it does when a part of it fails."""

import asyncio
import logging
from pathlib import Path

import pytest
from finetune_operator.cluster.port import NODE, POD
from finetune_operator.config import Config
from finetune_sandbox.nodes import node_manifest
from finetune_sandbox.workstation import Broken, Workstation


async def test_work_ends_with_a_sentence_when_the_scheduler_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = node_manifest("unreadable", memory="16GB")
    async with Workstation(tmp_path, Config(trainer_image="none")) as station:
        await station.api.create(NODE, unreadable)
        await station.api.create(POD, {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}]}})
        with pytest.raises(Broken, match=r"^The scheduler of this run has failed: NotAQuantity: "):
            await station.during(asyncio.Event().wait())
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_pod_that_never_reached_the_node_has_said_nothing(tmp_path: Path) -> None:
    async with Workstation(tmp_path, Config(trainer_image="none")) as station:
        assert station.node.logs("default", "elsewhere") == ""


async def test_work_comes_to_its_own_result_or_failure(tmp_path: Path) -> None:
    async def wrong() -> None:
        raise LookupError("Its own.")

    async with Workstation(tmp_path, Config(trainer_image="none")) as station:
        there = await station.during(station.pods())
        with pytest.raises(LookupError, match=r"Its own\."):
            await station.during(wrong())
    assert there == ()
