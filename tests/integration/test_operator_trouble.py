"""The operator may die, lose its lease or be away: no step is lost, and no attempt begins that nobody needs."""

import json

import pytest

from tests.integration.lab import Lab, job

pytestmark = [pytest.mark.control_plane, pytest.mark.training, pytest.mark.asyncio(loop_scope="session")]


NOBODY = json.dumps({"spec": {"holderIdentity": ""}})


def killed(lab: Lab) -> None:
    """End the operator without notice."""
    operator = lab.operators.pop()
    operator.kill()
    operator.wait()


def deposed(lab: Lab) -> None:
    """Take the lease from whoever holds it."""
    lab.plane.kubectl("patch", "lease", "finetune-operator", "-n", "default", "--type", "merge", "-p", NOBODY)


async def test_an_operator_that_is_killed_and_restarted_starts_no_second_attempt(lab: Lab) -> None:
    manifest = job("orphan")
    await lab.apply(manifest)
    await lab.reached("orphan", step=7)
    killed(lab)
    lab.start_operator()
    done = await lab.ended("orphan")
    assert await lab.difference(done, manifest) is None
    assert (done.status.attempt, done.status.restarts.total) == (1, 0)


async def test_what_happens_while_no_operator_runs_is_found_out_later(lab: Lab) -> None:
    manifest = job("unseen")
    await lab.apply(manifest)
    await lab.reached("unseen", step=7)
    killed(lab)
    await lab.api.evict(lab.namespace, "unseen-1-0")
    await lab.goes("unseen-1-0")
    deposed(lab)  # A dead leader's lease ends by itself, as the first test has it.
    lab.start_operator()
    done = await lab.ended("unseen")
    assert await lab.difference(done, manifest) is None
    assert (done.status.attempt, done.status.restarts.preemptions) == (2, 1)


async def test_a_leader_that_loses_its_lease_ends_and_the_other_operator_goes_on(lab: Lab) -> None:
    manifest = job("led")
    leader = lab.operators[0]
    lab.start_operator()
    await lab.apply(manifest)
    await lab.reached("led", step=7)
    deposed(lab)
    done = await lab.ended("led")
    assert await lab.difference(done, manifest) is None
    assert (done.status.attempt, leader.wait(30)) == (1, 70)
    lab.operators.remove(leader)
