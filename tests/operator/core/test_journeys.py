"""Whole lives of a job: what happens to it, and the story its events tell."""

from datetime import timedelta

from finetune_operator.api.status import Cause, Phase, Restarts
from finetune_operator.api.v1alpha1 import LONGEST
from finetune_trainer.contract.outcome import OutcomeKind, Resume

from tests.operator.core.world import World, job, world

START = ["Creating", "Scheduling", "Training"]
RESTART = ["Scheduling", "Training"]


def conditions(of: World) -> dict[str, str]:
    return {c.type.value: c.reason for c in of.status.conditions}


def counts(of: World) -> tuple[int, int, int]:
    restarts = of.status.restarts
    return restarts.preemptions, restarts.infrastructure, restarts.failures


def test_an_undisturbed_job_succeeds() -> None:
    life = world().runs().finishes()
    assert (life.story, life.status.phase, life.num_created) == ([*START, "Finished"], Phase.SUCCEEDED, 1)


def test_a_preempted_job_goes_on_from_its_last_checkpoint() -> None:
    life = world().runs().trains(100, saved=100).preempted(saved=120).runs(130).finishes()
    assert life.story == [*START, "Stopping", "Preempted", *RESTART, "Finished"]


def test_a_preemption_is_told_in_one_sentence() -> None:
    life = world().runs().trains(100, saved=100).preempted(saved=120)
    assert [e.message for e in life.events if e.reason == "Preempted"] == [
        "Preempted on node-0 (PreemptionByScheduler); checkpoint at step 120 published; attempt 2 starts at once."
    ]


def test_the_next_attempt_must_not_start_below_the_termination_checkpoint() -> None:
    life = world().runs().trains(100, saved=100).preempted(saved=120)
    environment = life.environment["bert-2-0"]
    assert (environment["FINETUNE_MIN_STEP"], environment["FINETUNE_MIN_DIGEST"]) == ("120", "d120")


def test_a_node_that_burns_costs_the_steps_since_the_last_checkpoint() -> None:
    life = world().runs().trains(100, saved=100).after(40).trains(150).after(40).trains(170)
    life = life.vanishes().runs(100)
    assert (life.status.resume.from_step, life.status.resume.lost_steps) == (100, 70)
    assert life.message == "Attempt 2 trains from step 100; 70 steps are done again."


def test_a_pod_that_vanished_was_taken() -> None:
    life = world().runs().vanishes()
    latest = life.status.last_attempts[0]
    assert (latest.cause, latest.reason, counts(life)) == (Cause.PREEMPTED, "Vanished", (1, 0, 0))


def test_preemptions_are_borne_without_limit() -> None:
    life = world()
    for _ in range(30):
        life = life.runs(10).after(120).preempted()
    assert (life.status.phase, life.status.restarts.preemptions) == (Phase.PENDING, 30)


def test_preemptions_are_limited_when_the_author_says_so() -> None:
    life = world(restart={"maxPreemptions": 1}).runs().preempted().runs().preempted()
    assert (life.status.phase, counts(life)) == (Phase.FAILED, (1, 0, 0))


def test_pods_that_are_always_taken_before_a_step_do_not_flood_the_cluster() -> None:
    life = world()
    for _ in range(4):
        life = life.runs().preempted()
    assert (life.status.phase, life.status.restart_after) == (Phase.RESTARTING, life.now + timedelta(seconds=10))


def test_failures_use_up_their_budget_with_doubling_pauses() -> None:
    life = world().runs().fails().after(10).runs().fails()
    assert life.status.restart_after == life.now + timedelta(seconds=20)
    life = life.after(20).runs().fails().after(40).runs().fails()
    assert (life.status.phase, counts(life)) == (Phase.FAILED, (0, 0, 3))
    assert life.message.endswith(
        "No restart is left: spec.restart.maxFailures is 3. Edit the job, or suspend and resume it, to try again."
    )


def test_progress_fills_the_budgets_again() -> None:
    life = world(restart={"maxFailures": 1})
    for step in (100, 200, 300):
        life = life.runs().trains(step, saved=step).fails().after(600)
    assert (life.status.phase, counts(life)) == (Phase.PENDING, (0, 0, 3))
    assert life.status.restarts_without_progress == Restarts(total=1, failures=1)


def test_a_configuration_error_stops_at_once_with_the_trainers_sentence() -> None:
    life = world().runs().fails(OutcomeKind.CONFIGURATION, "DatasetNotFound")
    assert (life.story, life.num_created) == ([*START, "DatasetNotFound"], 1)
    assert life.message == "It ended. Edit the job, or suspend and resume it, to try again."
    assert set(conditions(life)) == {"Stalled", "Ready", "Failed"}


def test_what_is_not_built_yet_stalls_with_a_sentence() -> None:
    life = world(queueName="gpus").settle()
    assert (conditions(life)["Stalled"], life.num_created) == ("Unsupported", 0)
    assert life.message.startswith("spec.queueName: Admission by Kueue is not built")
    assert life.edited(queueName=None).runs().status.phase is Phase.RUNNING


def test_an_edit_ends_stalled() -> None:
    life = world().runs().fails(OutcomeKind.CONFIGURATION, "DatasetNotFound")
    life = life.edited(dataset={"uri": "hf://another/data"}).runs().finishes()
    assert (life.status.phase, life.status.attempt) == (Phase.SUCCEEDED, 2)


def test_suspend_on_and_off_ends_stalled_with_full_budgets() -> None:
    life = world(restart={"maxFailures": 0}).runs().fails()
    life = life.edited(suspend=True)
    assert life.status.phase is Phase.SUSPENDED
    life = life.edited(suspend=False).runs()
    assert (life.status.phase, life.status.restarts) == (Phase.RUNNING, Restarts())


def test_suspend_stops_with_a_checkpoint_and_goes_on_later() -> None:
    life = world().runs().trains(50).edited(suspend=True)
    assert life.status.phase is Phase.STOPPING
    life = life.stops(saved=60)
    assert life.message == "Suspended; newest checkpoint at step 60. Set spec.suspend to false to go on."
    life = life.edited(suspend=False).runs(70)
    assert life.story == [*START, "Stopping", "Suspended", "Creating", *RESTART]
    assert (life.status.attempt, counts(life), life.status.last_attempts[0].cause) == (2, (0, 0, 0), Cause.STOPPED)


def test_a_suspended_job_creates_nothing() -> None:
    life = world(suspend=True).settle()
    assert (life.story, life.num_created, conditions(life)) == (
        ["Suspended"],
        0,
        {"Ready": "Suspended", "Suspended": "Suspended"},
    )


def test_a_job_that_finishes_while_it_is_suspended_has_succeeded() -> None:
    life = world().runs().edited(suspend=True).finishes()
    assert life.status.phase is Phase.SUCCEEDED


def test_a_suspension_taken_back_in_the_middle_goes_on_after_the_stop() -> None:
    life = world().runs().edited(suspend=True).edited(suspend=False).stops(saved=5).runs()
    assert (life.status.phase, life.status.attempt) == (Phase.RUNNING, 2)


def test_an_edit_takes_effect_at_the_next_attempt() -> None:
    life = world().runs().edited(training={"num_train_epochs": 5})
    assert life.message == "Attempt 1 trains from step 0. The edit of generation 2 takes effect at the next attempt."
    assert (life.num_created, "bert-2" in life.belongings) == (1, False)
    life = life.preempted()
    assert "bert-2" in life.belongings


def test_the_gang_keeps_its_size_until_the_next_attempt() -> None:
    life = world(compute={"nodes": 2}).runs().edited(compute={"nodes": 1})
    assert (life.status.phase, len(life.gang)) == (Phase.RUNNING, 2)
    assert len(life.preempted().gang) == 1


def test_a_gang_lives_and_dies_together() -> None:
    life = world(compute={"nodes": 2}).runs().disrupted(rank=1)
    assert [pod.is_ending for pod in life.gang] == [True, True]
    life = life.stops(saved=80).runs()
    assert (sorted(pod.name for pod in life.gang), counts(life)) == (["bert-2-0", "bert-2-1"], (1, 0, 0))


def test_the_rest_of_a_gang_is_stopped_before_the_next_attempt_begins() -> None:
    life = world(compute={"nodes": 2}).runs()
    life = life.ends(life.outcome(OutcomeKind.FAILED, "OutOfMemory"), 1, rank=1)
    assert (life.status.phase, life.status.attempt, len(life.gang)) == (Phase.STOPPING, 1, 2)
    life = life.stops().after(10)
    assert (life.status.attempt, life.status.last_attempts[0].reason) == (2, "OutOfMemory")


def test_an_echo_gives_way_to_the_cause() -> None:
    life = world(compute={"nodes": 2}).runs()
    life = life.ends(life.outcome(OutcomeKind.PEER_LOST, "PeerLost"), 1, rank=1)
    life = life.ends(life.outcome(OutcomeKind.FAILED, "OutOfMemory"), 1, rank=0)
    assert (life.status.last_attempts[0].reason, life.status.last_attempts[0].cause) == ("OutOfMemory", Cause.FAILURE)


def test_an_echo_alone_is_the_infrastructures() -> None:
    life = world(compute={"nodes": 2}).runs()
    life = life.ends(life.outcome(OutcomeKind.PEER_LOST, "Whatever"), 1)
    assert (life.status.last_attempts[0].reason, counts(life)) == ("PeerLost", (0, 1, 0))


def test_ranks_that_finish_a_moment_later_are_not_killed() -> None:
    life = world(compute={"nodes": 2}).runs()
    life = life.ends(life.outcome(OutcomeKind.FINISHED, "Finished"), 0, rank=0)
    assert [pod.is_ending for pod in life.gang] == [False, False]
    assert [pod.is_ending for pod in life.after(31).gang] == [False, True]


def test_a_rank_that_finishes_first_ends_nothing() -> None:
    life = world(compute={"nodes": 2}).runs()
    life = life.ends(life.outcome(OutcomeKind.FINISHED, "Finished"), 0, rank=1)
    assert life.status.phase is Phase.RUNNING


def test_a_job_that_finishes_in_its_grace_period_has_succeeded() -> None:
    life = world().runs().disrupted().finishes()
    assert (life.status.phase, counts(life)) == (Phase.SUCCEEDED, (0, 0, 0))


def test_a_finished_job_is_never_run_again() -> None:
    life = world().runs().finishes().vanishes().edited(training={"num_train_epochs": 9}).after(10_000)
    assert (life.status.phase, life.num_created, life.status.observed_generation) == (Phase.SUCCEEDED, 1, 2)


def test_a_deadline_stops_the_pods_and_fails_the_job() -> None:
    life = world(activeDeadlineSeconds=100).runs().after(100)
    assert life.status.phase is Phase.STOPPING
    life = life.stops(saved=7)
    assert (life.status.phase, conditions(life)["Stalled"]) == (Phase.FAILED, "DeadlineExceeded")


def test_a_deadline_counts_anew_after_a_suspension() -> None:
    life = world(activeDeadlineSeconds=100).runs().after(50).edited(suspend=True).stops(saved=7)
    life = life.after(10_000).edited(suspend=False).runs().after(99)
    assert (life.status.phase, life.status.attempt) == (Phase.RUNNING, 2)
    assert life.after(1).status.phase is Phase.STOPPING


def test_a_deadline_ends_a_pause_that_is_longer() -> None:
    life = world(activeDeadlineSeconds=100, restart={"backoffSeconds": 600}).runs().after(30).fails()
    recheck_after = life.decision().recheck_after
    assert (life.status.phase, recheck_after) == (Phase.RESTARTING, timedelta(seconds=70))
    assert conditions(life.after(70))["Stalled"] == "DeadlineExceeded"


def test_the_longest_deadline_never_comes() -> None:
    life = world(activeDeadlineSeconds=LONGEST).runs().after(1_000_000)
    assert life.status.phase is Phase.RUNNING


def test_what_a_finished_job_leaves_goes_when_its_time_has_come() -> None:
    life = world(ttlSecondsAfterFinished=60, compute={"nodes": 2}).runs().finishes()
    assert (len(life.pods), len(life.belongings)) == (2, 2)
    life = life.after(60)
    assert (life.pods, life.belongings, life.status.phase) == ({}, {}, Phase.SUCCEEDED)
    assert life.status.cleaned_at == life.now


def test_a_trainer_that_does_not_know_where_it_started_keeps_what_is_known() -> None:
    life = world().runs().trains(100, saved=100).preempted().runs(100).after(30)
    life = life.trains(110, resume=None, seconds_per_step=None)
    assert (life.status.resume.from_step, life.status.progress.eta) == (100, None)


def test_a_pause_that_an_edit_outlives_is_told_anew() -> None:
    life = world().runs().fails()
    life.job = life.job.model_copy(update={"status": life.status.model_copy(update={"phase": Phase.PENDING})})
    assert life.settle().message == "The next attempt starts after a pause."


def test_an_attempt_that_ends_has_not_lost_its_own_steps() -> None:
    life = world().runs(step=40).trains(60, saved=50).disrupted()
    resume = life.status.resume
    assert resume is not None
    assert (life.status.phase, resume.from_step, resume.lost_steps) == (Phase.STOPPING, 0, 0)


def test_the_steps_of_an_attempt_that_ended_suddenly_are_lost_to_the_next() -> None:
    life = world().runs(step=40).trains(60, saved=50).vanishes()
    resume = life.status.resume
    assert resume is not None
    assert (life.status.attempt, resume.from_step, resume.lost_steps) == (2, 50, 10)


def test_steps_that_only_the_run_knows_of_count_as_lost_until_the_attempt_ends() -> None:
    life = world().runs(step=40).trains(60, saved=50).vanishes().runs()
    told = Resume(from_step=50, reached_step=66)
    lost = [life.trains(step, resume=told).status.resume for step in (51, 70)]
    lost.append(life.disrupted().status.resume)
    assert [one and one.lost_steps for one in lost] == [16, 16, 16]


def test_what_the_run_tells_of_an_attempt_is_written_down_with_its_end() -> None:
    life = world().runs(step=40).trains(60, saved=50).vanishes().runs()
    status = life.trains(51, resume=Resume(from_step=50, reached_step=66)).status
    assert [(a.attempt, a.to_step) for a in status.last_attempts] == [(1, 66)]


def test_steps_are_lost_once_though_the_run_still_tells_of_them_two_attempts_later() -> None:
    life = world().runs(step=40).trains(60, saved=50)
    told = Resume(from_step=50, reached_step=66)
    lost = []
    for _ in range(2):
        life.vanishes().runs()
        lost.append(life.trains(50, resume=told).status.resume)
    assert [one and one.lost_steps for one in lost] == [16, 0]


def test_a_run_that_lags_behind_what_the_operator_saw_takes_no_lost_step_back() -> None:
    life = world().runs(step=40).trains(60, saved=50).vanishes().runs()
    resume = life.trains(51, resume=Resume(from_step=50, reached_step=45)).status.resume
    assert resume is not None
    assert resume.lost_steps == 10


def test_a_job_that_asked_for_too_much_runs_once_the_operator_has_learned_it() -> None:
    life = world(peft={"method": "qlora"}, distributed={"deepspeed": {"zeroStage": 3}}).settle()
    stalled = (life.status.phase, conditions(life)["Ready"])
    # The newer operator finds nothing in the spec that it does not know.
    life.spec = {}
    life.job = job(life.status)
    life = life.runs().finishes()
    assert (stalled, life.status.phase) == ((Phase.FAILED, "Unsupported"), Phase.SUCCEEDED)
