import pytest
from finetune_operator import names
from finetune_operator.api import pod_rules
from finetune_operator.api.status import Restarts
from finetune_operator.api.unsupported import unsupported
from finetune_operator.api.v1alpha1 import FineTuneJob, FineTuneJobSpec, PodTemplate
from finetune_operator.build.config_map import run_config
from finetune_operator.build.volumes import volume_mounts, volumes
from finetune_operator.config import Config
from finetune_trainer.contract.free_arguments import FREE_TO_CHANGE
from finetune_trainer.contract.refused_arguments import OWNED, REFUSED, REMOVED
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.contract.training_arguments import TrainingArguments, arguments
from finetune_trainer.recovery.manifest import mathematics
from pydantic import ValidationError

from tests.operator.api.cases import base, merged, table


def job(**spec: object) -> FineTuneJob:
    """The base job as the operator reads it."""
    metadata = {"name": "job", "namespace": "jobs", "uid": "u", "managedFields": []}
    return FineTuneJob.model_validate(merged(base(), {"metadata": metadata, "spec": spec}))


def run(**training: float) -> RunConfig:
    """What the trainer is told of the base job with these arguments."""
    told = run_config(job(training=training), Config(trainer_image="trainer"))
    assert isinstance(told, RunConfig)
    return told


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_argument_is_answered_with_its_sentence(name: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TrainingArguments.model_validate({name: None})
    assert f"{name} is refused. {REFUSED[name]}" in str(refusal.value)


def test_groups_by_length_are_refused_by_the_contract() -> None:
    with pytest.raises(ValidationError, match="batch_rebalance"):
        TrainingArguments(train_sampling_strategy="group_by_length")


def test_a_name_is_either_owned_or_removed() -> None:
    assert set(OWNED) & set(REMOVED) == set()


def test_arguments_are_only_those_that_the_job_sets() -> None:
    training = TrainingArguments(num_train_epochs=3, bf16=True, optim_target_modules=("a",))
    assert arguments(training) == {"num_train_epochs": 3.0, "bf16": True, "optim_target_modules": ["a"]}


def test_every_argument_free_to_change_exists() -> None:
    assert set(TrainingArguments.model_fields) >= FREE_TO_CHANGE


@pytest.mark.parametrize("argument", sorted({"eval_steps", "save_steps", "logging_steps"} & FREE_TO_CHANGE))
def test_the_trainer_resumes_after_an_edit_that_the_rules_allow(argument: str) -> None:
    assert mathematics(run(**{argument: 7})) == mathematics(run())


def test_the_trainer_sees_an_edit_that_the_rules_refuse() -> None:
    assert mathematics(run(learning_rate=0.1)) != mathematics(run())


def test_parts_of_the_pod_stay_as_they_were_written() -> None:
    variable = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert PodTemplate(env=(variable,)).env == (variable,)


def test_a_part_of_the_pod_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        PodTemplate(env=({"name": "A", "valu": "b"},))


def test_the_rules_know_every_volume_of_the_operator() -> None:
    claim = {"volume": {"claimName": "disk"}}
    with_claims = job(checkpoint=claim, output=claim)
    assert {volume["name"] for volume in volumes(with_claims)} == set(pod_rules.OUR_VOLUMES)


def test_the_rules_know_every_path_of_the_operator() -> None:
    claim = {"volume": {"claimName": "disk"}}
    with_claims = job(checkpoint=claim, output=claim)
    paths = {mount["mountPath"] for mount in volume_mounts(with_claims)}
    assert paths - {"/dev/shm"} == {*pod_rules.OUR_PATHS, pod_rules.SCRATCH}  # noqa: S108 (below /dev, which is refused)


def test_the_total_of_restarts_is_their_sum() -> None:
    assert Restarts(preemptions=2, infrastructure=1, failures=3).total == 6


def test_a_job_with_the_longest_name_has_room_for_its_pods() -> None:
    assert len(names.pod_name("a" * names.MAX_JOB_NAME, 999999, 999999)) <= 63


def test_the_base_job_asks_for_nothing_unbuilt() -> None:
    assert unsupported(job().spec) == ()


@pytest.mark.parametrize("case", [case for case in table("jobs.yaml") if "unsupported" in case.values[0]])
def test_an_unbuilt_feature_is_named_with_its_field(case: dict[str, object]) -> None:
    spec = FineTuneJobSpec.model_validate(merged(base(), case["change"])["spec"])
    (violation,) = unsupported(spec)
    assert (violation.field, str(case["unsupported"]) in violation.message) == (case["at"], True)
