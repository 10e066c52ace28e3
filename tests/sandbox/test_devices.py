"""Who gets which GPU, on a machine that need not have any."""

import pytest
from finetune_operator.cluster.port import Manifest
from finetune_sandbox.devices import Devices, visible


def pod(name: str, gpus: int = 1) -> Manifest:
    requests = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {"metadata": {"uid": name}, "spec": {"containers": [{"resources": {"requests": requests}}]}}


def test_each_pod_has_gpus_of_its_own_and_the_next_one_those_that_are_given_back() -> None:
    devices = Devices(("2", "3", "5"))
    first, second = devices.taken_by(pod("a")), devices.taken_by(pod("b", 2))
    devices.give_back(pod("a"))
    assert (first, second, devices.taken_by(pod("c"))) == (
        {"CUDA_VISIBLE_DEVICES": "2"},
        {"CUDA_VISIBLE_DEVICES": "3,5"},
        {"CUDA_VISIBLE_DEVICES": "2"},
    )


def test_a_container_that_is_made_again_keeps_its_gpus() -> None:
    devices = Devices(("0", "1"))
    assert devices.taken_by(pod("a")) == devices.taken_by(pod("a"))


def test_a_pod_that_asks_for_no_gpu_sees_none() -> None:
    assert Devices(("0",)).taken_by(pod("a", 0)) == {"CUDA_VISIBLE_DEVICES": ""}


def test_a_machine_without_gpus_says_nothing_of_them() -> None:
    assert Devices(None).taken_by(pod("a")) == {}


@pytest.mark.parametrize(("said", "read"), [("3", ("3",)), ("1, GPU-8", ("1", "GPU-8")), ("", ()), ("0,-1,2", ("0",))])
def test_the_gpus_are_those_that_this_user_may_have(
    monkeypatch: pytest.MonkeyPatch, said: str, read: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    assert visible() == read
