from dataclasses import replace

import pytest
from finetune_operator.core.observed import Pod
from finetune_operator.core.wording import has, listed

from tests.operator.core.world import world


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param(["a"], "a has", id="one"),
        pytest.param(["a", "b"], "a and b have", id="two"),
        pytest.param(["a", "b", "c", "d"], "a, b, c and d have", id="four, for 'and 1 more' is no shorter"),
        pytest.param(["a", "b", "c", "d", "e"], "a, b, c and 2 more have", id="five"),
    ],
)
def test_names_are_listed_as_far_as_one_reads_them(names: list[str], words: str) -> None:
    assert f"{listed(names)} {has(names)}" == words


def test_what_is_said_of_a_large_gang_is_one_sentence() -> None:
    def placed(pod: Pod) -> Pod:
        return replace(pod, node=f"node-{pod.node_rank}", scheduled_at=life.now)

    life = world(compute={"nodes": 100}).settle()
    life = life.change(None, placed)
    assert life.message == "Attempt 1 is starting on node-0, node-1, node-10 and 97 more."
    life = life.runs().disrupted(rank=7)
    assert life.message == (
        "Preempted on node-7 (PreemptionByScheduler). "
        "Waiting until bert-1-0, bert-1-1, bert-1-2 and 97 more have stopped."
    )
