"""What Prometheus reads: in its format, with labels from closed sets, and nothing counted twice."""

import itertools
from datetime import timedelta

from finetune_operator.api.status import (
    AttemptStatus,
    Cause,
    FineTuneJobStatus,
    Phase,
    ProgressStatus,
    Restarts,
    ResumeStatus,
)
from finetune_operator.core.decision import Decision
from finetune_operator.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

from tests.operator.core.world import NOON, job

LABELS = {
    "cause": {"preemptions", "infrastructure", "failures"},
    "phase": {phase.value for phase in Phase} | {"schedule", "start", "import", "restore", "data", "firstStep"},
}


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Every sample, by its name and the value of its only label."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
        if "le" not in sample.labels
    }


def told(metrics: Metrics, old: FineTuneJobStatus, new: FineTuneJobStatus, name: str = "bert") -> None:
    seen = job(old)
    seen = seen.model_copy(update={"metadata": seen.metadata.model_copy(update={"name": name})})
    metrics.status_written(seen, Decision(status=new))


def ended(attempt: int, **recovery: float) -> AttemptStatus:
    return AttemptStatus(
        attempt=attempt, cause=Cause.PREEMPTED, reason="Deleted", ended_at=NOON, recovery_seconds=recovery
    )


def test_jobs_are_counted_by_phase_and_a_phase_without_a_job_is_zero() -> None:
    metrics = Metrics()
    metrics.watch(lambda: ("Running", "Running", "Failed"), lambda: 0)
    found = {label: value for (name, label), value in samples(metrics).items() if name == "finetune_jobs"}
    assert found == {phase.value: 0 for phase in Phase} | {"Running": 2, "Failed": 1}


def test_jobs_are_counted_anew_at_every_reading() -> None:
    phases: list[str] = []
    metrics = Metrics()
    metrics.watch(lambda: phases, lambda: len(phases))
    before = samples(metrics)["finetune_queue_depth", ""]
    phases.append("Running")
    after = samples(metrics)
    assert (before, after["finetune_queue_depth", ""], after["finetune_jobs", "Running"]) == (0, 1, 1)


def test_restarts_are_counted_by_cause() -> None:
    metrics = Metrics()
    old = FineTuneJobStatus(restarts=Restarts(preemptions=1))
    told(metrics, old, FineTuneJobStatus(restarts=Restarts(preemptions=2, failures=1)))
    found = {label: value for (name, label), value in samples(metrics).items() if name == "finetune_restarts_total"}
    assert found == {"preemptions": 1, "infrastructure": 0, "failures": 1}


def test_counters_of_a_job_that_begins_anew_take_nothing_back() -> None:
    metrics = Metrics()
    told(metrics, FineTuneJobStatus(restarts=Restarts(failures=3)), FineTuneJobStatus())
    assert samples(metrics)["finetune_restarts_total", "failures"] == 0


def begun(attempt: int, lost: int) -> FineTuneJobStatus:
    """An attempt whose trainer has not been heard; the progress is its predecessor's."""
    return FineTuneJobStatus(
        attempt=attempt,
        attempt_started_at=NOON,
        resume=ResumeStatus(from_step=40, lost_steps=lost),
        progress=ProgressStatus(step=40 + lost, observed_at=NOON - timedelta(seconds=9)),
    )


def heard(attempt: int, lost: int) -> FineTuneJobStatus:
    """The same attempt once its trainer has told where it began."""
    return begun(attempt, lost).model_copy(update={"progress": ProgressStatus(step=41, observed_at=NOON)})


def test_lost_steps_are_counted_once_for_each_attempt() -> None:
    metrics = Metrics()
    first = FineTuneJobStatus(attempt=1, attempt_started_at=NOON)
    story = (first, begun(2, 7), heard(2, 7), heard(2, 7), begun(3, 5), heard(3, 5))
    for old, new in itertools.pairwise(story):
        told(metrics, old, new)
    assert samples(metrics)["finetune_lost_steps_total", ""] == 12


def test_steps_that_were_saved_after_all_are_not_counted_as_lost() -> None:
    metrics = Metrics()
    for old, new in itertools.pairwise((FineTuneJobStatus(attempt=1), begun(2, 7), heard(2, 0))):
        told(metrics, old, new)
    assert samples(metrics)["finetune_lost_steps_total", ""] == 0


def test_lost_steps_of_an_attempt_that_was_never_heard_count_when_the_next_begins() -> None:
    metrics = Metrics()
    for old, new in itertools.pairwise((FineTuneJobStatus(attempt=1), begun(2, 7), begun(3, 0), heard(3, 0))):
        told(metrics, old, new)
    assert samples(metrics)["finetune_lost_steps_total", ""] == 7


def test_the_recovery_of_an_attempt_is_counted_when_it_has_ended_and_once() -> None:
    metrics = Metrics()
    ending = FineTuneJobStatus(last_attempts=(ended(1, start=4).model_copy(update={"ended_at": None}),))
    over = FineTuneJobStatus(last_attempts=(ended(1, start=4),))
    told(metrics, FineTuneJobStatus(), ending)
    told(metrics, ending, over)
    told(metrics, over, over.model_copy(update={"phase": Phase.RUNNING}))
    found = samples(metrics)
    name = "finetune_recovery_seconds"
    assert (found[f"{name}_count", "start"], found[f"{name}_sum", "start"]) == (1, 4)


def test_labels_come_from_closed_sets_whatever_jobs_and_trainers_say() -> None:
    metrics = Metrics()
    metrics.watch(lambda: ("Running", "NoPhaseOfOurs"), lambda: 3)
    for number in range(50):
        over = FineTuneJobStatus(last_attempts=(ended(1, **{f"made-up-{number}": 1.0, "restore": 2.0}),))
        told(metrics, FineTuneJobStatus(), over, name=f"job-{number}")
    text = metrics.exposition().decode()
    labels = [
        (name, value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for name, value in sample.labels.items()
        if name != "le"
    ]
    assert [pair for pair in labels if pair[1] not in LABELS.get(pair[0], ())] == []
    assert samples(metrics)["finetune_recovery_seconds_count", "restore"] == 50


def test_passes_are_timed_and_failures_counted() -> None:
    metrics = Metrics()
    metrics.pass_done(timedelta(milliseconds=20).total_seconds(), failed=False)
    metrics.pass_done(2.0, failed=True)
    found = samples(metrics)
    assert (
        found["finetune_reconcile_seconds_count", ""],
        found["finetune_reconcile_seconds_sum", ""],
        found["finetune_reconcile_failures_total", ""],
    ) == (2, 2.02, 1)


def test_who_stands_by_says_so_until_it_leads() -> None:
    metrics = Metrics()
    before = samples(metrics)["finetune_leader", ""]
    metrics.leads()
    assert (before, samples(metrics)["finetune_leader", ""]) == (0, 1)


def test_every_metric_says_in_a_sentence_what_it_is() -> None:
    metrics = Metrics()
    metrics.watch(tuple, lambda: 0)
    helps = [line for line in metrics.exposition().decode().splitlines() if line.startswith("# HELP finetune_")]
    assert [line for line in helps if not line.endswith(".") and "_created " not in line] == []
