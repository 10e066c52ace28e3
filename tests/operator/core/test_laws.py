"""Laws that hold whatever happens: thousands of generated lives and states."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import product
from typing import Any

from finetune_operator.api.status import FineTuneJobStatus, Phase
from finetune_operator.core.decide import decide
from finetune_operator.core.finish import unreadable
from finetune_operator.core.gang import alive
from finetune_operator.core.observed import Observed, Pod, PodPhase, Reason, Terminated
from finetune_operator.core.progress import heard
from finetune_trainer.contract.outcome import OutcomeKind, Progress
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.operator.core.world import CONFIG, NOON, UID, World, job, lawful, world

SPECS: list[dict[str, Any]] = [
    {},
    {"compute": {"nodes": 2}},
    {"compute": {"nodes": 3}, "restart": {"maxFailures": 1, "maxInfrastructure": 1, "maxPreemptions": 2}},
    {"ttlSecondsAfterFinished": 5, "activeDeadlineSeconds": 500},
    {"suspend": True},
]


def _unschedulable(life: World) -> World:
    return life.change(0, lambda pod: replace(pod, unschedulable="0/1 nodes are available."))


def _unreachable(life: World) -> World:
    return life.change(0, lambda pod: replace(pod, is_unreachable=not pod.is_unreachable))


def _stuck(life: World) -> World:
    return life.change(0, lambda pod: replace(pod, waiting=Reason(reason="ImagePullBackOff", message="no.")))


def _cached(life: World) -> World:
    """A pass is cut off after its status was written."""
    decision = life.decision()
    life.carried_out(replace(decision, create=decision.create[:2], delete=()))
    return life.settle()


HAPPENINGS: dict[str, Any] = {
    "runs": lambda life: life.runs(10),
    "saves": lambda life: life.trains(50, saved=50),
    "waits": lambda life: life.after(7),
    "waits long": lambda life: life.after(700),
    "preempted": lambda life: life.preempted(saved=60),
    "disrupted": lambda life: life.disrupted(),
    "stops": lambda life: life.stops(),
    "one vanishes": lambda life: life.vanishes(*(pod.name for pod in life.gang[-1:])),
    "all vanish": lambda life: life.vanishes(),
    "fails": lambda life: life.fails(),
    "rank 0 fails": lambda life: life.ends(life.outcome(OutcomeKind.FAILED, "Why"), 1, rank=0),
    "an echo": lambda life: life.ends(life.outcome(OutcomeKind.PEER_LOST, "Why"), 1, rank=1),
    "killed": lambda life: life.ends(None, 137),
    "hangs": lambda life: life.fails(OutcomeKind.HUNG, "NoStep"),
    "misconfigured": lambda life: life.fails(OutcomeKind.CONFIGURATION, "Absent"),
    "finishes": lambda life: life.finishes(),
    "suspended": lambda life: life.edited(suspend=True),
    "resumed": lambda life: life.edited(suspend=False),
    "resized": lambda life: life.edited(compute={"nodes": 2}),
    "unschedulable": _unschedulable,
    "unreachable": _unreachable,
    "stuck": _stuck,
    "cut off": _cached,
}


@settings(max_examples=400, deadline=None)
@given(spec=st.sampled_from(SPECS), happenings=st.lists(st.sampled_from(sorted(HAPPENINGS)), max_size=14))
def test_every_life_settles_lawfully(spec: dict[str, Any], happenings: list[str]) -> None:
    life = world(**spec).settle()
    attempt, succeeded = 0, False
    for happening in happenings:
        life = HAPPENINGS[happening](life)
        assert life.status.attempt >= attempt, "attempts are numbered upwards"
        assert not succeeded or life.status.phase is Phase.SUCCEEDED, "success is for ever"
        attempt, succeeded = life.status.attempt, life.status.phase is Phase.SUCCEEDED


def one_of_all(**values: Iterable[Any]) -> SearchStrategy[dict[str, Any]]:
    """Any combination of the values in one draw: a draw for each of them costs more than the decision under test."""
    return st.sampled_from([dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())])


pods = st.builds(
    lambda *parts: Pod(**{name: value for part in parts for name, value in part.items()}),
    one_of_all(
        name=["bert-1-0", "bert-1-1", "bert-2-0", "x"],
        uid=["a", "b", "c"],
        owner_uid=[UID, "other", None],
        owner_job=["bert", None],
        attempt=range(4),
        node_rank=range(3),
    ),
    one_of_all(
        phase=PodPhase,
        node=[None, "n"],
        scheduled_at=[None, NOON],
        started_at=[None, NOON],
        deletion_at=[None, NOON],
    ),
    one_of_all(
        disruption=[None, Reason(reason="PreemptionByScheduler")],
        status=[None, Reason(reason="Evicted", message="m")],
        unschedulable=[None, "no node"],
        waiting=[None, Reason(reason="ImagePullBackOff"), Reason(reason="CreateContainerConfigError")],
        terminated=[None, Terminated(exit_code=0), Terminated(exit_code=137, reason="OOMKilled")],
        is_unreachable=[False, True],
    ),
)
AT_REST = {Phase.SUSPENDED, Phase.FAILED, Phase.SUCCEEDED}
STATUSES = [
    world().job.status,
    world().settle().status,
    world(compute={"nodes": 2}).runs(5).status,
    world(compute={"nodes": 2}).runs(5).disrupted().status,
    world().runs().trains(9, saved=9).preempted().status,
    world().runs().fails().status,
    world().runs().fails(OutcomeKind.CONFIGURATION, "Absent").status,
    world().runs().finishes().status,
    world(suspend=True).settle().status,
]
observations = st.builds(
    lambda around, pods: Observed(**around, pods=tuple(pods)),
    one_of_all(
        job=[
            job(status, generation, suspend=suspend, ttlSecondsAfterFinished=0)
            for status, generation, suspend in product(STATUSES, (1, 2), (False, True))
        ],
        now=[NOON, NOON + timedelta(seconds=30), NOON + timedelta(days=1)],
        pods_are_live=[False, True],
        taken=[(), ("Service bert",)],
        going=[(), ("ConfigMap bert-1",)],
        refusal=[None, "exceeded quota"],
        belongings=[None, ()],
    ),
    st.lists(pods, max_size=4),
)


@settings(max_examples=1500, deadline=None)
@given(seen=observations)
def test_every_state_has_a_lawful_decision(seen: Observed) -> None:
    decision = decide(seen, CONFIG)
    assert decision == decide(seen, CONFIG), "the same state, the same decision"
    old = seen.job.status
    if decision.status != old:
        lawful(old, decision.status, seen.job.metadata.generation)
    assert old.phase is not Phase.SUCCEEDED or decision.status.phase is Phase.SUCCEEDED
    assert decision.status.attempt >= old.attempt
    own = {pod.uid for pod in seen.pods if pod.owner_uid == UID}
    assert {gone.uid for gone in decision.delete if gone.kind == "Pod"} <= own, "a stranger's pod is never touched"
    assert seen.pods_are_live or not decision.delete, "nothing is deleted on the cache's word"
    if seen.pods_are_live and not decision.needs_belongings and decision.status.phase in AT_REST:
        kept = {pod.uid for pod in alive(seen) if not pod.is_ending} - {gone.uid for gone in decision.delete}
        assert not kept, "nothing trains for a job whose GPUs count as given back"


numbers = st.none() | st.floats()
words = st.fixed_dictionaries(
    {
        "attempt": st.just(1),
        "token": st.just("t"),
        "step": st.integers(),
        "max_steps": st.none() | st.integers() | st.sampled_from([10**9, 10**12, 2**70]),
        "epoch": numbers,
        "loss": numbers,
        "seconds_per_step": numbers | st.sampled_from([1.0, 250.0]),
        "resume": st.none() | st.fixed_dictionaries({"from_step": st.integers(0), "reached_step": st.integers()}),
        "observed_at": st.datetimes(timezones=st.just(UTC)),
    }
).map(Progress.model_validate)


@settings(max_examples=1000, deadline=None)
@given(status=st.sampled_from(STATUSES), word=words)
def test_whatever_numbers_a_trainer_tells_make_a_status_that_can_be_written(
    status: FineTuneJobStatus, word: Progress
) -> None:
    written = heard(status, word).model_dump(mode="json")
    assert FineTuneJobStatus.model_validate_json(json.dumps(written, allow_nan=False))


@settings(max_examples=200, deadline=None)
@given(nodes=st.integers(1, 3), seconds=st.lists(st.integers(0, 100_000), max_size=5))
def test_a_healthy_gang_is_never_touched(nodes: int, seconds: list[int]) -> None:
    life = world(compute={"nodes": nodes}).runs()
    before = dict(life.pods)
    for pause in seconds:
        life = life.after(pause)
    assert life.pods == before


def test_a_job_that_cannot_be_read_is_stalled_and_told_once() -> None:
    fresh = job()
    first = unreadable(fresh.metadata, fresh.status, "spec.task is absent.", NOON)
    lawful(fresh.status, first.status, 1)
    assert [note.reason for note in first.events] == ["InvalidSpec"]
    assert unreadable(fresh.metadata, first.status, "spec.task is absent.", NOON).events == ()


def test_a_job_that_succeeded_stays_so_even_when_it_can_no_longer_be_read() -> None:
    status = world().runs().finishes().status
    assert unreadable(job().metadata, status, "spec.task is absent.", NOON).status == status
