"""The plan of the scheduler in memory: who gets a GPU, who loses it, and what is said to whoever waits."""

from decimal import Decimal
from typing import Any

import pytest
from finetune_operator.cluster.port import Manifest
from finetune_sandbox.memory_scheduler import Bind, Preempt, Step, Wait, plan
from finetune_sandbox.nodes import NotAQuantity, node_manifest, quantity


def pod(name: str, *, gpus: int = 1, priority: int = 0, on: str | None = None, **status: Any) -> Manifest:
    requests = {"nvidia.com/gpu": str(gpus)}
    spec = {"containers": [{"resources": {"requests": requests}}], "priority": priority}
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec | ({"nodeName": on} if on else {}),
        "status": {"phase": "Pending", **status},
    }


def going(manifest: Manifest) -> Manifest:
    return manifest | {"metadata": manifest["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}}


def told(*steps: Step) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for step in steps:
        match step:
            case Bind():
                lines.append(("bind", step.pod["metadata"]["name"], step.node))
            case Preempt():
                victims = (each["metadata"]["name"] for each in step.victims)
                lines.append(("preempt", step.pod["metadata"]["name"], *victims))
            case Wait():
                lines.append(("wait", step.pod["metadata"]["name"]))
    return lines


NODE = node_manifest("n", gpus=2)


def test_pods_are_bound_until_the_gpus_are_spent() -> None:
    steps = plan([NODE], [pod("a"), pod("b"), pod("c")])
    assert told(*steps) == [("bind", "a", "n"), ("bind", "b", "n"), ("wait", "c")]


def test_the_roomiest_node_is_taken() -> None:
    steps = plan([NODE, node_manifest("roomy", gpus=8)], [pod("a")])
    assert told(*steps) == [("bind", "a", "roomy")]


def test_a_higher_priority_ends_as_few_lower_ones_as_it_needs() -> None:
    steps = plan([NODE], [pod("a", on="n"), pod("b", on="n"), pod("high", priority=9)])
    assert told(*steps) == [("preempt", "high", "b")]


def test_an_equal_priority_ends_nobody() -> None:
    steps = plan([NODE], [pod("a", gpus=2, on="n"), pod("b")])
    assert told(*steps) == [("wait", "b")]


def test_room_that_a_victim_leaves_is_not_given_to_somebody_else() -> None:
    nominated = pod("high", gpus=2, priority=9, nominatedNodeName="n")
    steps = plan([NODE], [going(pod("a", on="n")), nominated, pod("low")])
    assert told(*steps) == [("wait", "high"), ("wait", "low")]


def test_an_ended_pod_takes_no_room() -> None:
    steps = plan([NODE], [pod("a", gpus=2, on="n", phase="Failed"), pod("b", gpus=2)])
    assert told(*steps) == [("bind", "b", "n")]


def test_the_sentences_are_those_of_the_real_scheduler() -> None:
    steps = plan([NODE], [pod("big", gpus=9), pod("a", gpus=2, on="n"), pod("b")])
    assert [each.message for each in steps if isinstance(each, Wait)] == [
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
            "0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ),
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        ),
    ]


def test_without_nodes_a_pod_waits() -> None:
    assert plan([], [pod("a")]) == (Wait(pod=pod("a"), message="no nodes available to schedule pods"),)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500m", "0.5"), ("64Gi", "68719476736"), ("1e3", "1000"), ("12E", "12e18"), ("12E3", "12000"), (".5", "0.5")],
)
def test_an_amount_is_read_as_kubernetes_reads_it(text: str, amount: str) -> None:
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["16GB", "", "Gi", "1 Gi", "1ke3"])
def test_what_is_no_amount_is_refused_with_the_sentence_of_the_api_server(text: str) -> None:
    with pytest.raises(NotAQuantity, match=r"^quantities must match the regular expression '"):
        quantity(text)
