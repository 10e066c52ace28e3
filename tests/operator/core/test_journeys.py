"""Whole lives of a job: what happens to it, and the story its events tell."""

from dataclasses import replace
from datetime import timedelta

import pytest
from finetune_operator.api.status import Cause, Phase, Restarts
from finetune_operator.core.decide import decide
from finetune_operator.core.observed import Pod, PodPhase, Reason
from finetune_trainer.contract.outcome import OutcomeKind, Resume, TrainerState

from tests.operator.core.world import CONFIG, World, world

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
    assert (life.story, life.message, life.num_created) == ([*START, "DatasetNotFound"], "It ended.", 1)
    assert set(conditions(life)) == {"Stalled", "Ready", "Failed"}


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
    life = life.ends(life.outcome(OutcomeKind.FAILED, "LossNotFinite"), 1, rank=1)
    assert (life.status.phase, life.status.attempt, len(life.gang)) == (Phase.STOPPING, 1, 2)
    life = life.stops().after(10)
    assert (life.status.attempt, life.status.last_attempts[0].reason) == (2, "LossNotFinite")


def test_an_echo_gives_way_to_the_cause() -> None:
    life = world(compute={"nodes": 2}).runs()
    life = life.ends(life.outcome(OutcomeKind.PEER_LOST, "PeerLost"), 1, rank=1)
    life = life.ends(life.outcome(OutcomeKind.FAILED, "LossNotFinite"), 1, rank=0)
    assert (life.status.last_attempts[0].reason, life.status.last_attempts[0].cause) == ("LossNotFinite", Cause.FAILURE)


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


def test_what_a_finished_job_leaves_goes_when_its_time_has_come() -> None:
    life = world(ttlSecondsAfterFinished=60, compute={"nodes": 2}).runs().finishes()
    assert (len(life.pods), len(life.belongings)) == (2, 2)
    life = life.after(60)
    assert (life.pods, life.belongings, life.status.phase) == ({}, {}, Phase.SUCCEEDED)
    assert life.status.cleaned_at == life.now


def test_a_name_that_is_taken_is_told_and_waited_for() -> None:
    life = world()
    life.taken = ("Pod bert-1-0",)
    life = life.settle().after(120)
    assert (life.story, life.num_created) == (["Creating", "NameTaken"], 0)
    assert life.message == (
        "Pod bert-1-0 has a name that the job needs and belongs to somebody else. "
        "Delete it, or create the job under another name; the job goes on by itself."
    )
    life.taken = ()
    assert life.after(15).runs().finishes().status.attempt == 1


def test_a_strangers_pod_is_never_deleted() -> None:
    life = world()
    stranger = Pod(name="bert-1-0", uid="s", owner_uid=None, attempt=1, node_rank=0, phase=PodPhase.RUNNING)
    life.pods[stranger.name] = stranger
    life = life.settle()
    assert (life.pods, conditions(life)["Ready"]) == ({"bert-1-0": stranger}, "NameTaken")


def test_a_refused_creation_is_told_and_tried_again() -> None:
    life = world()
    life.refusal = 'pods "bert-1-0" is forbidden: exceeded quota: gpus'
    life = life.settle().after(300)
    assert (life.story, life.num_created) == (["Creating", "CreationRefused"], 0)
    life.refusal = None
    assert life.after(15).runs().status.attempt == 1


def test_a_creation_that_was_cut_short_is_completed() -> None:
    life = world(compute={"nodes": 2})
    life.carried_out(life.decision())
    del life.pods["bert-1-1"]
    life = life.settle().after(5)
    assert (sorted(life.pods), life.status.attempt) == (["bert-1-0", "bert-1-1"], 1)


def test_pods_that_nobody_has_ever_seen_are_not_counted_as_preempted() -> None:
    life = world()
    life.carried_out(life.decision())
    life.pods.clear()
    life = life.after(60)
    assert (life.status.attempt, life.status.restarts, sorted(life.pods)) == (2, Restarts(), ["bert-2-0"])


def test_an_edit_before_the_pods_are_there_gives_the_attempt_up() -> None:
    life = world(compute={"nodes": 2})
    life.carried_out(life.decision())
    del life.pods["bert-1-1"]
    life = life.edited(compute={"nodes": 3})
    assert (life.status.attempt, len(life.gang), life.status.restarts) == (2, 3, Restarts())


def test_pods_of_a_lost_status_are_stopped_before_anything_begins() -> None:
    life = world().runs().trains(10)
    life.job = life.job.model_copy(update={"status": world().status})
    life = life.settle()
    assert life.story[-1] == "WaitingForPods"
    life.progress = None
    assert life.stops().status.attempt == 2


def test_an_unreachable_node_is_not_a_dead_one() -> None:
    life = world().runs().change(0, lambda pod: replace(pod, is_unreachable=True)).after(10_000)
    assert (life.num_created, conditions(life)) == (1, {"Reconciling": "NodeUnreachable", "Ready": "NodeUnreachable"})
    life = life.change(0, lambda pod: replace(pod, is_unreachable=False))
    assert life.status.phase is Phase.RUNNING


def test_a_pod_that_does_not_stop_is_waited_for_with_advice() -> None:
    life = world().runs().disrupted("DeletionByTaintManager").after(1_000)
    assert (life.num_created, conditions(life)["Reconciling"]) == (1, "NodeUnreachable")
    assert "node.kubernetes.io/out-of-service" in life.message
    assert life.vanishes().status.attempt == 2


def test_an_announced_disruption_that_does_not_come_changes_nothing() -> None:
    target = Reason(reason="EvictionByEvictionAPI")
    life = world().runs().change(0, lambda pod: replace(pod, disruption=target))
    assert life.status.phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("waiting", "reason", "message"),
    [
        pytest.param(
            Reason(reason="CreateContainerConfigError", message='secret "wandb" not found'),
            "SecretNotFound",
            'There is no Secret "wandb" in the namespace. Create it, for example: '
            "kubectl create secret generic wandb --from-literal=WANDB_API_KEY=...",
            id="secret is missing",
        ),
        pytest.param(
            Reason(reason="CreateContainerConfigError", message="couldn't find key WANDB_API_KEY in Secret team/wandb"),
            "SecretKeyNotFound",
            'The Secret "wandb" has no key WANDB_API_KEY. Add the key, or name another in secretRef.key.',
            id="key is missing",
        ),
        pytest.param(
            Reason(reason="CreateContainerConfigError", message="container has runAsNonRoot"),
            "ContainerMisconfigured",
            "The container cannot be configured: container has runAsNonRoot.",
            id="image runs as root",
        ),
        pytest.param(
            Reason(reason="CreateContainerError", message="no space"),
            "ContainerNotCreated",
            "The container cannot be created: no space.",
            id="runtime fails",
        ),
        pytest.param(
            Reason(reason="ErrImagePull", message="not found"),
            "ImagePullFailed",
            "not found. The kubelet tries again.",
            id="first pull fails",
        ),
    ],
)
def test_what_the_kubelet_tries_again_is_told_without_a_restart(waiting: Reason, reason: str, message: str) -> None:
    life = world().settle()
    life = life.change(0, lambda pod: replace(pod, node="n", scheduled_at=life.now, waiting=waiting)).after(1_000)
    assert (conditions(life)["Reconciling"], life.message, life.num_created) == (reason, message, 1)
    life = life.change(0, lambda pod: replace(pod, waiting=None)).runs().finishes()
    assert (life.status.phase, life.status.attempt) == (Phase.SUCCEEDED, 1)


def test_a_container_that_is_being_created_is_starting() -> None:
    life = world().settle()
    creating = Reason(reason="ContainerCreating")
    life = life.change(0, lambda pod: replace(pod, node="n", waiting=creating))
    assert (life.status.phase, life.message) == (Phase.STARTING, "Attempt 1 is starting on n.")


def test_a_pod_without_a_node_waits_with_the_schedulers_sentence() -> None:
    text = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    life = world().settle().change(0, lambda pod: replace(pod, unschedulable=text))
    assert (life.status.phase, conditions(life)["Reconciling"]) == (Phase.PENDING, "Unschedulable")
    assert life.message == f"{text} The job starts when a node has room; see compute if none is large enough."


def test_an_image_that_cannot_be_pulled_counts_as_infrastructure_and_backs_off() -> None:
    stuck = Reason(reason="ImagePullBackOff", message='Back-off pulling image "x"')
    life = world().settle().change(0, lambda pod: replace(pod, node="n", waiting=stuck)).stops()
    assert (conditions(life)["Reconciling"], counts(life)) == ("ImagePullFailed", (0, 1, 0))
    assert life.status.restart_after == life.now + timedelta(seconds=10)


def test_a_trainer_that_cannot_be_heard_trains_all_the_same() -> None:
    life = world().runs()
    life.progress = None
    life = life.after(10_000)
    assert (life.status.phase, life.num_created) == (Phase.RUNNING, 1)


def test_a_trainer_that_was_never_heard_counts_as_training_after_two_minutes() -> None:
    life = world().runs().preempted().settle()
    life = life.change(0, lambda pod: replace(pod, phase=PodPhase.RUNNING, node="n", started_at=life.now))
    assert life.status.phase is Phase.STARTING
    assert life.after(120).status.phase is Phase.RUNNING


def test_a_restoring_trainer_is_not_ready_yet() -> None:
    life = world().runs().preempted().settle()
    life = life.change(0, lambda pod: replace(pod, phase=PodPhase.RUNNING, node="n", started_at=life.now))
    life = life.trains(0, state=TrainerState.RESTORING)
    assert (life.status.phase, life.message) == (Phase.STARTING, "Attempt 2 is restoring on n.")


def test_progress_alone_is_written_every_thirty_seconds() -> None:
    life = world().runs()
    writes = life.writes
    life = life.trains(1).after(10).trains(2).after(10).trains(3)
    assert (life.writes, life.status.progress.step) == (writes, 0)
    assert life.after(10).status.progress.step == 3


def test_a_checkpoint_is_written_at_once() -> None:
    assert world().runs().trains(1, saved=1).trains(2, saved=2).status.checkpoint.step == 2


def test_a_zombies_word_is_not_heard() -> None:
    life = world().runs().trains(50)
    zombie = life.progress
    life = life.preempted().runs()
    life.progress = zombie.model_copy(update={"observed_at": life.now + timedelta(seconds=60), "step": 999})
    assert life.after(60).status.progress.step != 999


def test_a_checkpoint_found_bad_gives_way_to_the_one_before() -> None:
    life = world().runs().trains(100, saved=100).preempted()
    bad = Resume(from_step=80, passed_over=("t/p/ckpt:v100: a hash differs.",))
    life = life.runs().trains(80, saved=80, resume=bad)
    assert (life.status.checkpoint.step, life.status.resume.message) == (80, "t/p/ckpt:v100: a hash differs.")


def test_an_unreachable_tracking_server_degrades_the_status_alone() -> None:
    life = world().runs().trains(1, tracking_degraded="W&B does not answer.")
    assert conditions(life) == {"Ready": "Training", "TrackingDegraded": "TrackingServerUnreachable"}
    life.progress = None
    assert "TrackingDegraded" in conditions(life.after(60))
    assert conditions(life.trains(2)) == {"Ready": "Training"}


def test_without_any_durable_place_the_status_says_so() -> None:
    life = world(wandb={"mode": "disabled"}).runs()
    assert conditions(life)["CheckpointNotDurable"] == "NoDurableStore"


def test_the_status_says_how_far_it_is() -> None:
    life = world().runs().after(30).trains(30)
    progress = life.status.progress
    assert (progress.percent, progress.eta, life.status.goodput) == (
        "10%",
        life.now + timedelta(seconds=270),
        "100%",
    )


def test_ten_ended_attempts_are_remembered() -> None:
    life = world()
    for _ in range(12):
        life = life.runs(10).after(120).preempted()
    assert [entry.attempt for entry in life.status.last_attempts] == list(range(12, 2, -1))


def test_pods_of_older_attempts_are_removed() -> None:
    life = world().runs().fails().after(10)
    assert sorted(life.pods) == ["bert-2-0"]


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    life = world().runs()
    meta = life.job.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T12:00:00Z"})
    life.job = life.job.model_copy(update={"metadata": meta})
    writes = life.writes
    assert (life.vanishes().writes, life.num_created) == (writes, 1)


def test_nothing_ends_without_a_live_look() -> None:
    life = world().runs()
    life.pods.clear()
    life.progress = None
    found = decide(life.observed(live=False), CONFIG)
    assert (found.needs_live_pods, found.status == life.status, found.create) == (True, True, ())
