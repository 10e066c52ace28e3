"""What a watcher sees when a pod ends, over both stores: the rows of the table that real kubelets gave us."""

import pytest
from finetune_operator.cluster.port import POD
from finetune_sandbox.process_node import ProcessNode

from tests.sandbox.pods import (
    IGNORES,
    Place,
    disruption,
    gone,
    has_ended,
    phase,
    runs,
    state,
    terminated,
    waits,
    watched,
)

PREEMPTED = "PreemptionByScheduler"
EVICTED = "EvictionByEvictionAPI"

pytestmark = pytest.mark.usefixtures("node")


async def test_a_preempted_pod_is_marked_then_deleted_then_fails_then_goes(place: Place) -> None:
    async with watched(place, "low") as story:
        await place.create("low", waits(then_exits=143))
        await place.until("low", runs)
        await place.create("high", "exit 0", priorityClassName="high")
        await gone(story)
    assert story.lines() == [
        "Pending -",
        "Pending waiting",
        "Running running",
        f"Running running {PREEMPTED}",
        f"Running running {PREEMPTED} going:5",
        f"Failed terminated 143 {PREEMPTED} going:5",
        f"Failed terminated 143 {PREEMPTED} going:0",
        f"DELETED Failed terminated 143 {PREEMPTED} going:0",
    ]


async def test_a_higher_priority_gets_the_gpu_as_soon_as_the_lower_has_ended(place: Place) -> None:
    await place.create("low", waits(then_exits=143))
    await place.until("low", runs)
    await place.create("high", "exit 0", priorityClassName="high")
    assert terminated(await place.until("high", has_ended)) == ("Succeeded", 0, "Completed")


async def test_a_preempted_pod_that_exits_with_0_has_succeeded_and_is_a_disruption_target(
    place: Place, node: ProcessNode
) -> None:
    async with watched(place, "low") as story:
        await place.create("low", waits(then_exits=0))
        await place.until_it_listens("low", node)
        await place.create("high", "exit 0", priorityClassName="high")
        await gone(story)
    assert (terminated(story.last()), disruption(story.last())) == (("Succeeded", 0, "Completed"), PREEMPTED)


async def test_a_preempted_pod_that_ignores_sigterm_is_killed_after_its_grace(place: Place, node: ProcessNode) -> None:
    async with watched(place, "low") as story:
        await place.create("low", IGNORES, terminationGracePeriodSeconds=1)
        await place.until_it_listens("low", node)
        await place.create("high", "exit 0", priorityClassName="high")
        await gone(story)
    assert terminated(story.last()) == ("Failed", 137, "Error")


async def test_an_evicted_pod_is_marked_before_its_deletion(place: Place) -> None:
    async with watched(place, "a") as story:
        await place.create("a", waits(then_exits=143))
        await place.until("a", runs)
        await place.api.evict(place.namespace, "a")
        await gone(story)
    assert story.lines()[3:] == [
        f"Running running {EVICTED}",
        f"Running running {EVICTED} going:5",
        f"Failed terminated 143 {EVICTED} going:5",
        f"Failed terminated 143 {EVICTED} going:0",
        f"DELETED Failed terminated 143 {EVICTED} going:0",
    ]


async def test_a_deleted_pod_is_no_disruption_target(place: Place) -> None:
    async with watched(place, "a") as story:
        await place.create("a", waits(then_exits=143))
        await place.until("a", runs)
        await place.api.delete(POD, place.namespace, "a")
        await gone(story)
    assert (terminated(story.last()), disruption(story.last())) == (("Failed", 143, "Error"), None)


async def test_a_pod_deleted_by_force_is_gone_at_once_and_was_never_seen_to_end(place: Place) -> None:
    async with watched(place, "a") as story:
        await place.create("a", waits(then_exits=143))
        await place.until("a", runs)
        await place.api.delete(POD, place.namespace, "a", grace_seconds=0)
        await gone(story)
    assert story.lines()[-1].startswith("DELETED Running running")


async def test_a_container_is_seen_to_end_before_its_pod_fails_and_the_pod_stays(place: Place) -> None:
    async with watched(place, "a") as story:
        await place.create("a", "exit 7")
        await place.until("a", has_ended)
        await place.api.delete(POD, place.namespace, "a")
        await gone(story)
    assert story.lines()[2:5] == ["Running running", "Running terminated 7", "Failed terminated 7"]


async def test_a_process_killed_from_outside_fails_with_137(place: Place, node: ProcessNode) -> None:
    await place.create("a", waits(then_exits=143))
    await place.until("a", runs)
    node.kill(place.namespace, "a")
    ended = await place.until("a", has_ended)
    assert (terminated(ended), disruption(ended)) == (("Failed", 137, "Error"), None)


async def test_a_rebooted_node_fails_its_pods_with_137(place: Place, node: ProcessNode) -> None:
    await place.create("a", waits(then_exits=143))
    await place.until("a", runs)
    node.reboot()
    assert terminated(await place.until("a", has_ended)) == ("Failed", 137, "Error")


async def test_a_pod_over_its_memory_limit_says_so(place: Place, node: ProcessNode) -> None:
    await place.create("a", waits(then_exits=143))
    await place.until("a", runs)
    node.out_of_memory(place.namespace, "a")
    ended = await place.until("a", has_ended)
    assert (terminated(ended), disruption(ended)) == (("Failed", 137, "OOMKilled"), None)


async def test_a_pod_evicted_by_its_node_stays_and_is_a_disruption_target(place: Place, node: ProcessNode) -> None:
    await place.create("a", waits(then_exits=143))
    await place.until("a", runs)
    node.relieve_memory(place.namespace, "a")
    ended = await place.until("a", has_ended)
    seen = (ended["status"]["reason"], disruption(ended), "deletionTimestamp" in ended["metadata"])
    assert seen == ("Evicted", "TerminationByKubelet", False)


async def test_a_pod_over_its_deadline_is_stopped_with_grace_and_stays(place: Place) -> None:
    await place.create("a", waits(then_exits=143), activeDeadlineSeconds=1)
    ended = await place.until("a", has_ended)
    seen = (terminated(ended), ended["status"]["reason"], disruption(ended))
    assert seen == (("Failed", 143, "Error"), "DeadlineExceeded", None)


async def test_a_bound_pod_that_does_not_fit_is_refused_without_container_statuses(place: Place) -> None:
    await place.create("a", waits(then_exits=143))
    await place.until("a", runs)
    await place.api.create(POD, place.pod("b", "exit 0", nodeName=place.node))
    ended = await place.until("b", has_ended)
    assert (phase(ended), ended["status"]["reason"], state(ended)) == ("Failed", "OutOfnvidia.com/gpu", {})


async def test_a_lost_node_says_nothing_and_its_pods_seem_to_run(place: Place, node: ProcessNode) -> None:
    await place.create("a", waits(then_exits=143))
    await place.until("a", runs)
    await node.lose()
    await place.api.delete(POD, place.namespace, "a")
    left = await place.until("a", lambda pod: "deletionTimestamp" in pod["metadata"])
    assert (phase(left), list(state(left))) == ("Running", ["running"])


async def test_a_pod_that_waits_for_a_gpu_says_what_is_insufficient(place: Place) -> None:
    await place.create("a", "exit 0", gpus=2)
    found = await place.until("a", lambda pod: bool(pod["status"].get("conditions")))
    assert found["status"]["conditions"][0]["reason"] == "Unschedulable"
