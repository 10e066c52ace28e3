"""What `finetune run --compare` says of two runs."""

from finetune_cli.report import parting
from finetune_sandbox.comparison import Comparison, Result, Row

ROWS: tuple[Row, ...] = tuple(
    (("train/global_step", step), ("train/grad_norm", step / 3), ("train/loss", 0.5)) for step in range(3)
)
OTHER = (*ROWS[:2], (("train/global_step", 2), ("train/grad_norm", 2 / 3), ("train/loss", 0.25)))


def said(left: tuple[Row, ...], right: tuple[Row, ...]) -> str | None:
    """What is said of two runs with these rows and the same weights."""
    weights = {"model.safetensors": "a"}
    one, two = (Result(run_id=run_id, rows=rows, weights=weights) for run_id, rows in (("one", left), ("two", right)))
    return parting(Comparison(left=one, right=two))


def test_two_runs_that_part_are_told_by_the_step_and_the_first_value_that_differs() -> None:
    assert said(ROWS, OTHER) == "They part at step 2, where train/loss is 0.5 here and 0.25 in the undisturbed run."


def test_runs_of_the_same_rows_do_not_part() -> None:
    assert (said(ROWS, ROWS), said(ROWS, ROWS[:2])) == (None, "One run has 3 rows, the other 2.")
