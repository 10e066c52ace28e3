"""How often a checkpoint is taken, what fits into a grace period, and what a checkpoint remembers beside tensors."""

from dataclasses import replace
from pathlib import Path

import pytest
from finetune_trainer.recovery.moment import Cadence, Due, Moment, moment
from finetune_trainer.recovery.preemption import Leftover

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    ("save_seconds", "step_seconds", "interval"),
    [
        pytest.param(0.01, 10.0, 5, id="saving is cheap: the least"),
        pytest.param(1.0, 1.0, 200, id="half a hundredth of the time"),
        pytest.param(600.0, 0.1, 500, id="saving is dear: the most"),
    ],
)
def test_the_interval_follows_from_what_saving_costs(save_seconds: float, step_seconds: float, interval: int) -> None:
    cadence = Cadence(None)
    cadence.took(10, save_seconds, step_seconds)

    assert [step - 10 for step in range(10, 600) if cadence.is_due(step)][0] == interval  # noqa: RUF015 - As it reads.


def test_an_interval_of_the_jobs_own_does_not_depend_on_the_clock() -> None:
    cadence = Cadence(5)
    cadence.took(7, 600.0, 0.1)

    assert [step for step in range(1, 16) if cadence.is_due(step)] == [5, 10, 15]


@pytest.mark.parametrize(
    ("save", "upload", "fits"),
    [
        pytest.param(None, None, (True, True), id="nothing measured yet: tried"),
        pytest.param(2.0, 3.0, (True, True), id="both fit"),
        pytest.param(2.0, 30.0, (True, False), id="the save alone fits"),
        pytest.param(20.0, 1.0, (False, False), id="nothing fits"),
    ],
)
def test_what_fits_into_the_grace_period_is_done(
    save: float | None, upload: float | None, fits: tuple[bool, bool]
) -> None:
    left = Leftover(seconds=10.0, save_seconds=save, upload_seconds=upload)

    assert ((left.may_save, left.may_publish), left.sentence() is None) == (fits, all(fits))


@pytest.mark.parametrize(
    ("step", "told"),
    [
        pytest.param(29.0, None, id="all fits"),
        pytest.param(
            40.0,
            "A step, saving and publishing take about 65 s, the grace period leaves 55 s. Give the pod a longer "
            "terminationGracePeriodSeconds, or use checkpoint.volume.",
            id="without the upload it would fit",
        ),
        pytest.param(
            70.0,
            "A step, saving and publishing take about 95 s, the grace period leaves 55 s. Give the pod a longer "
            "terminationGracePeriodSeconds.",
            id="no volume would help",
        ),
    ],
)
def test_a_step_that_a_stop_waits_for_takes_part_of_the_grace_period(step: float, told: str | None) -> None:
    left = Leftover(seconds=55.0, save_seconds=5.0, upload_seconds=20.0, step_seconds=step)

    assert (left.sentence(), left.may_save) == (told, True)


BEFORE = Moment(
    tr_loss=0.1 + 0.2,
    total_loss=1e-300,
    last_logged=3,
    initial_step=0,
    initial_tokens=0,
    due=(Due(evaluate=True, save=False),),
)


def test_a_moment_comes_back_as_it_was(tmp_path: Path) -> None:
    other = replace(BEFORE, tr_loss=0.7)
    BEFORE.write(tmp_path, 0)
    other.write(tmp_path, 1)

    assert (moment(tmp_path, 0, 2), moment(tmp_path, 1, 2)) == (BEFORE, other)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_another_number_of_ranks_goes_on_with_the_mean_of_the_losses(rank: int, tmp_path: Path) -> None:
    replace(BEFORE, tr_loss=0.5).write(tmp_path, 0)
    replace(BEFORE, tr_loss=1.5).write(tmp_path, 1)

    assert moment(tmp_path, rank, 3) == replace(BEFORE, tr_loss=1.0)
