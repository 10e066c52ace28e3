"""Several ranks: in one pod, and in two pods that share no directory."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from finetune_trainer.contract.outcome import Outcome, OutcomeKind
from finetune_trainer.pod.ports import free_port

from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, Running, result

pytestmark = pytest.mark.training

STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "ddp x 2": {},
    "zero-1 x 2": {"distributed": {"deepspeed": {"zeroStage": 1}}},
    "zero-2 x 2": {"distributed": {"deepspeed": {"zeroStage": 2}}},
}

SHORT = {"max_steps": 12}


def test_two_ranks_of_one_pod_resume_exactly_with_the_one_strategy_that_no_example_has(job: Job) -> None:
    strategy = "zero-1 x 2"
    wanted = changed(dict(job.config), compute={"processesPerNode": 2}, training=SHORT, **STRATEGIES[strategy])
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    disturbed = replace(job, config=wanted, folder=job.folder / "again").disturbed((7,), "SIGTERM")
    assert (result(disturbed), disturbed.progress and disturbed.progress.strategy) == (result(plain), strategy)


class Gang:
    """Two pods of one process each, which see nothing of each other but the network; only the first has a volume."""

    def __init__(self, job: Job, training: Mapping[str, Any] = SHORT) -> None:
        wanted = changed(dict(job.config), compute={"nodes": 2}, training=training)
        self.first = replace(job, config=wanted, folder=job.folder / "node-0")
        self.second = replace(job, config=wanted, folder=job.folder / "node-1", volume=False)

    def attempt(self) -> tuple[Running, Running]:
        """Start both pods."""
        meeting = {"FINETUNE_RENDEZVOUS": f"127.0.0.1:{free_port()}"}
        first = self.first.attempt(FINETUNE_NODE_RANK="0", **meeting)
        return first, self.second.attempt(FINETUNE_NODE_RANK="1", POD_IP="127.0.0.2", **meeting)

    def words(self) -> tuple[Outcome, Outcome]:
        """Run both pods to their ends."""
        first, second = self.attempt()
        return first.outcome(), second.outcome()


def test_two_pods_resume_exactly_although_they_share_no_directory(job: Job) -> None:
    training = {**SHORT, "save_strategy": "steps", "save_steps": 3}
    plain = Gang(replace(job, folder=job.folder / "plain"), training)
    plain.words()
    gang = Gang(job, training)
    first, second = gang.attempt()
    first.reach(7)
    second.stop()  # One member is asked, all agree.
    first.end()
    second.end()
    gang.words()
    assert gang.first.last is not None
    assert plain.first.last is not None
    assert result(gang.first.last) == result(plain.first.last)
    assert plain.second.last is not None
    assert [saves(one) for one in (plain.first.last, plain.second.last)] == [{"checkpoint-9", "checkpoint-12"}] * 2


def saves(running: Running) -> set[str]:
    """The saves of transformers' own that a node holds."""
    return {one.name for one in (running.work / "output").glob("checkpoint-*")}


def test_the_pod_that_loses_its_peer_says_so(job: Job) -> None:
    first, second = Gang(job).attempt()
    first.reach(3)
    second.kill()
    assert first.outcome().kind is OutcomeKind.PEER_LOST
