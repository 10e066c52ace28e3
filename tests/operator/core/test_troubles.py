"""What goes wrong around a job, and what the status says about it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from finetune_operator.api.status import Phase, Restarts
from finetune_operator.core.decide import decide
from finetune_operator.core.observed import Pod, PodPhase, Reason
from finetune_trainer.contract.outcome import OutcomeKind, Resume, TrainerState

from tests.operator.core.world import CONFIG, NOON, World, world


def conditions(of: World) -> dict[str, str]:
    return {c.type.value: c.reason for c in of.status.conditions}


def counts(of: World) -> tuple[int, int, int]:
    restarts = of.status.restarts
    return restarts.preemptions, restarts.infrastructure, restarts.failures


def test_a_name_that_is_taken_is_told_and_waited_for() -> None:
    life = world()
    life.taken = ("Pod bert-1-0",)
    life = life.settle().after(120)
    assert (life.story, life.num_created) == (["Creating", "NameTaken"], 0)
    assert life.message == (
        "Somebody else's objects have names that the job needs: Pod bert-1-0. "
        "Delete them, or create the job under another name; the job goes on by itself."
    )
    life.taken = ()
    assert life.after(15).runs().finishes().status.attempt == 1


def test_a_strangers_pod_is_never_deleted() -> None:
    life = world()
    stranger = Pod(name="bert-1-0", uid="s", owner_uid=None, attempt=1, node_rank=0, phase=PodPhase.RUNNING)
    life.pods[stranger.name] = stranger
    life = life.settle()
    assert (life.pods, conditions(life)["Ready"]) == ({"bert-1-0": stranger}, "NameTaken")


def test_a_pod_of_an_earlier_job_of_this_name_is_waited_for() -> None:
    life = world()
    theirs = Pod(
        name="bert-1-0", uid="s", owner_uid="old", owner_job="bert", attempt=1, node_rank=0, phase=PodPhase.RUNNING
    )
    life.pods[theirs.name] = theirs
    life = life.settle().after(120)
    assert (life.pods, life.story, life.status.attempt) == ({"bert-1-0": theirs}, ["Creating", "WaitingForNames"], 1)
    assert life.message == "Waiting until Pod bert-1-0 has gone, whose name the job needs."
    life.pods.clear()
    assert life.after(5).runs().finishes().status.attempt == 1


def test_a_pod_that_somebody_has_deleted_is_waited_for() -> None:
    life = world()
    stranger = Pod(name="bert-1-0", uid="s", owner_uid=None, attempt=1, node_rank=0, phase=PodPhase.RUNNING)
    life.pods[stranger.name] = replace(stranger, deletion_at=NOON)
    assert conditions(life.settle())["Ready"] == "WaitingForNames"


def test_a_name_that_only_a_creation_has_met_is_waited_for_however_long_it_takes() -> None:
    life = world()
    life.going = ("Pod bert-1-0",)
    life = life.settle().after(120)
    assert (life.status.attempt, conditions(life)["Ready"], life.decision().recheck_after) == (
        1,
        "WaitingForNames",
        timedelta(seconds=5),
    )


def test_a_refused_creation_is_told_and_tried_again() -> None:
    life = world()
    life.refusal = 'pods "bert-1-0" is forbidden: exceeded quota: gpus'
    life = life.settle().after(300)
    assert (life.story, life.num_created) == (["Creating", "CreationRefused"], 0)
    life.refusal = None
    assert life.after(15).runs().status.attempt == 1


def test_a_refusal_of_many_pages_leaves_room_for_what_we_say() -> None:
    life = world()
    life.refusal = "admission webhook denied the request: " + 10_000 * "no way "
    life = life.settle()
    assert len(life.message) < 1024
    assert life.message.endswith("... The job tries again by itself.")


def test_a_creation_that_was_cut_short_is_completed() -> None:
    life = world(compute={"nodes": 2})
    life.carried_out(life.decision())
    del life.pods["bert-1-1"]
    life = life.settle()
    assert (sorted(life.pods), life.status.attempt) == (["bert-1-0", "bert-1-1"], 1)


def test_pods_that_nobody_has_ever_seen_are_not_counted_as_preempted() -> None:
    life = world()
    life.carried_out(life.decision())
    life.pods.clear()
    life = life.after(60)
    assert (life.status.attempt, life.status.restarts, sorted(life.pods)) == (2, Restarts(), ["bert-2-0"])


def test_attempts_that_nobody_has_ever_seen_crowd_no_other_out_of_the_history() -> None:
    life = world().runs().fails()
    for _ in range(13):
        life.now += timedelta(seconds=60)
        life.carried_out(life.decision())
        life.pods.clear()
    told = [(each.attempt, each.reason) for each in life.status.last_attempts]
    assert (life.status.attempt, told) == (14, [(13, "NeverSeen"), (1, "OutOfMemory")])


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


@pytest.mark.parametrize(
    "ended",
    [
        pytest.param(lambda life: life.edited(suspend=True).stops(), id="suspended"),
        pytest.param(lambda life: life.fails(OutcomeKind.CONFIGURATION, "Absent"), id="failed"),
        pytest.param(lambda life: life.finishes(), id="succeeded"),
        pytest.param(
            lambda life: life.edited(ttlSecondsAfterFinished=60).finishes(), id="succeeded, to be removed later"
        ),
    ],
)
def test_a_pod_whose_creation_came_through_late_is_stopped(ended: Callable[[World], World]) -> None:
    life = world().runs()
    running = life.gang[0]
    phase = ended(life).status.phase
    life.pods["bert-2-0"] = replace(running, name="bert-2-0", uid="late", attempt=2)
    life = life.settle()
    assert (life.status.phase, life.pods["bert-2-0"].is_ending) == (phase, True)


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
            'There is no Secret "wandb" in namespace team. The job goes on by itself once you create it: '
            "kubectl create secret generic wandb --namespace team --from-literal=WANDB_API_KEY=...",
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
            "The trainer's image cannot be pulled yet: not found. "
            "The kubelet tries again; check spec.image and podTemplate.imagePullSecrets.",
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
    preemption = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found."
    life = world().settle().change(0, lambda pod: replace(pod, unschedulable=f"{text} {preemption}"))
    assert (life.status.phase, conditions(life)["Reconciling"]) == (Phase.PENDING, "Unschedulable")
    assert life.message == (
        f"No node takes the pod now: {text} The job starts when one has room; see spec.compute if none is large enough."
    )


def test_a_job_that_waits_for_a_gpu_says_what_it_has() -> None:
    life = world().runs().trains(100, saved=100).preempted(saved=120)
    life = life.change(0, lambda pod: replace(pod, unschedulable="0/1 nodes are available: 1 Insufficient cpu."))
    assert "The job goes on from step 120 when one has room" in life.message


def test_a_missing_secret_is_named_with_the_key_that_the_spec_names() -> None:
    missing = Reason(reason="CreateContainerConfigError", message='secret "hf" not found')
    life = world(hub={"secretRef": {"name": "hf", "key": "TOKEN"}}).settle()
    life = life.change(0, lambda pod: replace(pod, node="n", waiting=missing))
    assert life.message.endswith("kubectl create secret generic hf --namespace team --from-literal=TOKEN=...")


def test_an_edit_mends_an_attempt_that_no_node_takes() -> None:
    life = world(compute={"gpusPerNode": 64}).settle().change(0, lambda pod: replace(pod, unschedulable="No room."))
    life = life.edited(compute={"gpusPerNode": 1}).runs()
    assert (life.status.phase, life.status.attempt, counts(life)) == (Phase.RUNNING, 2, (0, 0, 0))


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
    assert life.after(10).trains(4).status.progress.step == 4


def test_a_trainers_clock_that_is_wrong_does_not_silence_it() -> None:
    life = world().runs().trains(1, observed_at=NOON + timedelta(hours=5))
    life = life.trains(2, observed_at=NOON + timedelta(hours=5, seconds=30))
    assert life.status.progress.step == 2


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


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"step": 1, "max_steps": 10**9, "seconds_per_step": 300.0}, id="an end in 9500 years"),
        pytest.param({"step": 1, "max_steps": 10**12}, id="an end in 30000 years"),
        pytest.param({"step": -1, "seconds_per_step": None}, id="a step before the first"),
        pytest.param({"step": 1, "seconds_per_step": float("inf")}, id="steps that never end"),
    ],
)
def test_an_odd_number_of_the_trainers_leaves_the_job_in_our_hands(said: dict[str, Any]) -> None:
    life = world().runs().trains(**said).edited(suspend=True)
    assert life.status.phase is Phase.STOPPING
    assert life.status.progress is not None
    assert (life.status.progress.step, life.status.progress.eta) == (max(0, said["step"]), None)


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
