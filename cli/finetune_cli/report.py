"""The report after a local run: short, plain, at most 80 columns."""

import textwrap

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.status import Cause, Phase
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_sandbox.comparison import Comparison
from finetune_sandbox.workstation import NAMESPACE, Workstation

LOG_LINES = 25
COLUMNS = 80
STEP = "train/global_step"


def has_succeeded(job: FineTuneJob) -> bool:
    """Whether the job has trained to its end."""
    return job.status.phase is Phase.SUCCEEDED


def summary(job: FineTuneJob, run_page: str | None, comparison: Comparison | None = None) -> None:
    """Print what happened to a job that has succeeded."""
    for name, value in facts(job, run_page, comparison):
        print(f"{name + ':':<36} {value}")
    if comparison and (said := parting(comparison)):
        print(textwrap.fill(said, COLUMNS, break_long_words=False, break_on_hyphens=False))


def parting(comparison: Comparison) -> str | None:
    """Where the run and its undisturbed twin part, in a sentence; None when they do not."""
    for number, (ours, theirs) in enumerate(zip(comparison.left.rows, comparison.right.rows, strict=False)):
        here, there = dict(ours), dict(theirs)
        differing = (name for name in sorted({*here, *there}) if here.get(name) != there.get(name))
        if column := next(differing, None):
            values = f"{here.get(column)!s:.40} here and {there.get(column)!s:.40} in the undisturbed run"
            place = f"step {here[STEP]}" if STEP in here else f"row {number}"
            return f"They part at {place}, where {column} is {values}."
    return comparison.first_difference


def facts(job: FineTuneJob, run_page: str | None, comparison: Comparison | None = None) -> tuple[tuple[str, str], ...]:
    """The report's lines."""
    status = job.status
    preempted = [a for a in status.last_attempts if a.cause is Cause.PREEMPTED]
    lines = [
        ("job", job.metadata.name),
        ("steps", str(status.progress.step if status.progress else 0)),
        ("restarts", str(status.restarts.total)),
    ]
    if preempted:
        lines.append(("preempted at step", ", ".join(str(a.to_step) for a in reversed(preempted))))
    if status.resume and preempted:
        lines += [("resumed at step", str(status.resume.from_step)), ("steps lost", str(status.resume.lost_steps))]
    if comparison:
        same = comparison.are_histories_identical and comparison.are_weights_unknown
        verdict = "yes" if comparison.is_identical else "as far as is known" if same else "no"
        weights = "" if comparison.are_weights_unknown else "weights, and "
        lines.append(("identical to the undisturbed run", verdict))
        lines.append(("compared", f"{weights}{len(comparison.left.rows)} rows of W&B history"))
    if run_page:
        lines.append(("run", run_page))
    return tuple(lines)


def undisturbed(job: FineTuneJob, preempt_at: int) -> str:
    """What to say of a job that was to be preempted and was not."""
    steps = job.status.progress.step if job.status.progress else 0
    return (
        f"{job.metadata.name} was not preempted at step {preempt_at}: the job had {steps} steps. "
        "Give --preempt-at an earlier one."
    )


def failure(job: FineTuneJob, station: Workstation) -> None:
    """Print why a job did not succeed, and the end of its last pod's log."""
    conditions = {condition.type: condition for condition in job.status.conditions}
    telling = (ConditionType.STALLED, ConditionType.FAILED, ConditionType.READY)
    if why := next((conditions[each] for each in telling if each in conditions), None):
        print(f"{why.reason}: {why.message}")
    if log := station.node.logs(NAMESPACE, f"{job.metadata.name}-{job.status.attempt}-0"):
        print(f"The last {LOG_LINES} lines of the trainer:")
        print("\n".join(log.splitlines()[-LOG_LINES:]))
