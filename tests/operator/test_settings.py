"""What the installation says in the environment and on the command line."""

import pytest
from finetune_operator.config import Config
from finetune_operator.main import settings

LEAST = {"FINETUNE_TRAINER_IMAGE": "trainer:1"}


def test_the_image_alone_is_enough() -> None:
    chosen = settings([], LEAST)
    assert (chosen.config, chosen.namespace, chosen.lease_namespace, chosen.lease_name, chosen.http_port) == (
        Config(trainer_image="trainer:1"),
        None,
        "default",
        "finetune-operator",
        8080,
    )


def test_everything_can_be_said_in_the_environment() -> None:
    chosen = settings(
        [],
        LEAST
        | {
            "FINETUNE_NAMESPACE": "team",
            "FINETUNE_HUB_ENDPOINT": "http://hub",
            "FINETUNE_WANDB_BASE_URL": "http://wandb",
            "FINETUNE_TRAINER_ENV": '{"HTTPS_PROXY": "http://proxy"}',
            "FINETUNE_LEASE_NAME": "ft",
            "FINETUNE_HTTP_PORT": "9000",
            "FINETUNE_LOG_LEVEL": "debug",
            "POD_NAMESPACE": "system",
            "POD_NAME": "ft-0",
        },
    )
    told = (chosen.namespace, chosen.lease_namespace, chosen.lease_name, chosen.http_port, chosen.log_level)
    assert told == ("team", "system", "ft", 9000, "debug")
    assert chosen.config == Config(
        trainer_image="trainer:1",
        hub_endpoint="http://hub",
        wandb_base_url="http://wandb",
        trainer_env=(("HTTPS_PROXY", "http://proxy"),),
    )


def test_the_command_line_beats_the_environment() -> None:
    assert settings(["--namespace", "mine"], LEAST | {"FINETUNE_NAMESPACE": "team"}).namespace == "mine"


def test_an_empty_variable_is_as_good_as_none() -> None:
    empty = dict.fromkeys(("FINETUNE_NAMESPACE", "FINETUNE_HUB_ENDPOINT", "FINETUNE_WANDB_BASE_URL"), "")
    chosen = settings([], LEAST | empty)
    assert (chosen.namespace, chosen.config) == (None, Config(trainer_image="trainer:1"))


def test_outside_a_pod_the_lease_is_where_the_jobs_are() -> None:
    assert settings(["--namespace", "team"], LEAST).lease_namespace == "team"


def test_a_restarted_container_has_another_identity() -> None:
    pod = LEAST | {"POD_NAME": "ft-0"}
    first, second = settings([], pod).identity, settings([], pod).identity
    assert (first[:5], first != second) == ("ft-0_", True)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        pytest.param({}, "FINETUNE_TRAINER_IMAGE is not set", id="no-image"),
        pytest.param(LEAST | {"FINETUNE_HTTP_PORT": "http"}, "FINETUNE_HTTP_PORT is http", id="no-port"),
        pytest.param(LEAST | {"FINETUNE_LOG_LEVEL": "loud"}, "FINETUNE_LOG_LEVEL is loud", id="no-level"),
        pytest.param(LEAST | {"FINETUNE_TRAINER_ENV": "{"}, "FINETUNE_TRAINER_ENV must be", id="no-json"),
        pytest.param(LEAST | {"FINETUNE_TRAINER_ENV": '{"A": 1}'}, "FINETUNE_TRAINER_ENV must be", id="no-text"),
    ],
)
def test_a_mistake_ends_the_start_with_a_sentence(
    environment: dict[str, str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        settings([], environment)
    assert (ended.value.code, sentence in capsys.readouterr().err) == (2, True)
