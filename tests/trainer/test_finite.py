"""A loss that is not a number is noticed at the step and with the examples that it came from."""

import math
from typing import Any

import pytest

pytestmark = pytest.mark.training


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_step_that_is_not_a_number_is_remembered(bad: float) -> None:
    import torch
    from finetune_trainer.finite import LossWatch

    watch = LossWatch()
    for step, value in enumerate((1.0, bad, 2.0, bad), start=1):
        watch.note(torch.tensor(value), step)

    assert watch.found(wait=False) == 2


def test_numbers_are_not_refused() -> None:
    import torch
    from finetune_trainer.finite import LossWatch

    watch = LossWatch()
    before = watch.found(wait=True)
    watch.note(torch.tensor(1.0), 1)
    watch.note(None, 1)

    assert (before, watch.found(wait=True)) == (None, None)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_examples_of_a_step_are_those_that_the_loader_gave(rank: int) -> None:
    from accelerate.data_loader import prepare_data_loader
    from finetune_trainer.finite import examples_of
    from torch.utils.data import DataLoader

    numbers: Any = list(range(22))
    loader = prepare_data_loader(
        DataLoader(numbers, batch_size=2, shuffle=True),
        num_processes=2,
        process_index=rank,
        put_on_device=False,
        use_seedable_sampler=True,
        data_seed=7,
    )
    given: list[list[int]] = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        given += [[int(one) for one in batch] for batch in loader]
    steps = [given[start] + given[start + 1] for start in (0, 2, 4, 6, 8, 10)]

    assert [list(examples_of(loader, step, accumulation=2)) for step in range(1, 7)] == steps
