"""The Secrets of a local run: from its file, from the run's own servers, from this user."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from finetune_cli.beside import completed, objects, refuse_absent
from finetune_cli.jobs import JobFileError

SPEC = {
    "wandb": {"secretRef": {"name": "keys", "key": "WANDB_API_KEY", "extraKeys": ["WANDB_ENTITY"]}},
    "hub": {"secretRef": {"name": "keys", "key": "token"}},
}


@dataclass(frozen=True, kw_only=True)
class Known:
    """The keys and tokens of a run, as values."""

    servers: Mapping[str, str] = field(default_factory=dict)
    user: Mapping[str, str] = field(default_factory=dict)

    def own(self, variable: str) -> str | None:
        """See `Values.own`."""
        return self.servers.get(variable)

    def users(self, variable: str) -> str | None:
        """See `Values.users`."""
        return self.user.get(variable)


USER = {"WANDB_API_KEY": "users", "WANDB_ENTITY": "users", "HF_TOKEN": "users"}


def secret(**values: str) -> dict[str, Any]:
    """The Secret as its author writes it beside the job."""
    return {"kind": "Secret", "metadata": {"name": "keys"}, "data": {k: encoded(v) for k, v in values.items()}}


def encoded(value: str) -> str:
    """The value as a Secret's data have it."""
    return b64encode(value.encode()).decode()


def keys(there: tuple[dict[str, Any], ...], values: Known) -> tuple[dict[str, str], dict[str, str]]:
    """What the Secret says, encoded and plain, once it is completed."""
    made = completed("job.yaml", SPEC, objects("job.yaml", there), values)["Secret", "keys"]
    return made.get("data", {}), made.get("stringData", {})


def test_without_a_secret_in_the_file_all_keys_are_the_users() -> None:
    plain = {"WANDB_API_KEY": "users", "WANDB_ENTITY": "users", "token": "users"}
    assert keys((), Known(user=USER)) == ({}, plain)


def test_what_the_file_says_comes_before_what_the_user_has_and_all_of_it_is_kept() -> None:
    written = secret(WANDB_API_KEY="files", other="files")
    assert keys((written,), Known(user=USER)) == (
        {"WANDB_API_KEY": encoded("files"), "other": encoded("files")},
        {"WANDB_ENTITY": "users", "token": "users"},
    )


def test_the_runs_own_servers_are_given_what_they_ask_for() -> None:
    written = secret(WANDB_API_KEY="files", WANDB_ENTITY="files", token="files")
    servers = {"WANDB_API_KEY": "sandbox", "HF_TOKEN": "sandbox"}
    assert keys((written,), Known(servers=servers)) == (
        {"WANDB_ENTITY": encoded("files")},
        {"WANDB_API_KEY": "sandbox", "token": "sandbox"},
    )


@pytest.mark.parametrize(
    ("absent", "sentence"),
    [
        ("WANDB_ENTITY", r"^wandb\.secretRef needs the key WANDB_ENTITY .*`export WANDB_ENTITY=\.\.\.`, or put "),
        ("HF_TOKEN", r"^hub\.secretRef needs the key token .*`export HF_TOKEN=\.\.\.`, log in with `hf auth login`, "),
    ],
)
def test_a_key_that_nobody_has_is_named_with_the_next_step(absent: str, sentence: str) -> None:
    user = {name: value for name, value in USER.items() if name != absent}
    with pytest.raises(JobFileError, match=sentence):
        completed("job.yaml", SPEC, {}, Known(user=user))


@pytest.mark.parametrize(
    "part",
    [
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "a"}}}]},
        {"volumes": [{"name": "a", "secret": {"secretName": "absent"}}]},
        {"volumes": [{"name": "a", "projected": {"sources": [{"secret": {"name": "absent"}}]}}]},
    ],
    ids=["a variable", "a volume", "a projected volume"],
)
def test_an_object_that_a_pod_would_wait_for_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(JobFileError, match=r"^podTemplate names the Secret absent, which is not here\."):
        refuse_absent("job.yaml", {"podTemplate": part}, {("ConfigMap", "absent")})
