"""The final model reaches every place that a job names, whole and once, however often its last attempt dies."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_sandbox.hub import Access, Hub
from finetune_sandbox.wandb_server.embedded import WandbServer
from finetune_trainer import outputs
from finetune_trainer.contract import environment
from finetune_trainer.contract.outcome import OutcomeKind
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.models import adapters
from finetune_trainer.outputs import card
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.recovery.manifest import hashed

from tests.trainer import tiny
from tests.trainer.resume_fixtures import changed, tracked
from tests.trainer.running import Job, Running, result, weights

pytestmark = pytest.mark.training

SHORT = {"max_steps": 4, "eval_steps": 2, "dataloader_num_workers": 0}
REPO = "me/tiny"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("hub")
    with Hub(root, access=Access(owners={"me": "hf_mine", "others": "hf_theirs"})) as running:
        yield running


def pushing(job: Job, hub: Hub, **push: Any) -> Job:
    """The job with a push to the hub."""
    wanted = changed(dict(job.config), output={"hub": {"repo": REPO, **push}}, training=SHORT)
    return replace(job, config=wanted, env=told(hub))


def told(hub: Hub) -> dict[str, str]:
    """What a pod is told of the hub."""
    return {"HF_TOKEN": "hf_mine", "HF_ENDPOINT": hub.url}


def pushed(hub: Hub, repo: str = REPO) -> Path:
    return hub.root / "models" / repo / "main"


def final(running: Running) -> Path:
    return running.work / "output" / "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A finished job whose model went to every place, and the volume among them."""

    running: Running
    volume: Path


@pytest.fixture(scope="module")
def delivered(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], socket: Path, server: WandbServer, hub: Hub
) -> Delivered:
    folder = tmp_path_factory.mktemp("delivered")
    volume = folder / "models"
    (volume / "model").mkdir(parents=True)
    (volume / "model" / "of-an-older-job").touch()
    everywhere = {
        "registry": {"collection": "model/reviews", "aliases": ["staging"]},
        "volume": {"claimName": "models"},
        "hub": {"repo": REPO},
    }
    one = tracked(Job(folder=folder, config=config, socket=socket), server, "linked", output=everywhere, training=SHORT)
    env = {**one.env, **told(hub), environment.OUTPUT_DIR: str(volume)}
    return Delivered(running=replace(one, env=env).finish(), volume=volume)


@pytest.mark.usefixtures("delivered")
def test_the_model_is_linked_to_a_registry_with_its_aliases(server: WandbServer) -> None:
    (linked,) = server.artifacts("reviews")

    assert (linked.run, linked.aliases, "model.safetensors" in linked.files) == ("linked", ("latest", "staging"), True)


def test_a_volume_has_the_model_and_nothing_else(delivered: Delivered) -> None:
    volume = delivered.volume
    there = {path.relative_to(volume).as_posix(): hashed(path) for path in volume.rglob("*") if path.is_file()}
    assert there == {f"model/{path.name}": hashed(path) for path in final(delivered.running).iterdir()}


def test_the_hub_gets_the_model_in_a_private_repository(delivered: Delivered, hub: Hub) -> None:
    same = hashed(pushed(hub) / "model.safetensors") == hashed(final(delivered.running) / "model.safetensors")
    assert (same, (pushed(hub).parent / ".private").read_text()) == (True, "hf_mine")


def test_a_link_without_an_artifact_is_refused() -> None:
    wanted = tiny.config(output={"registry": {"collection": "model/reviews"}}, wandb={"mode": "disabled"})

    assert refusal(wanted).reason == "RegistryNeedsArtifact"


def refusal(wanted: RunConfig) -> ConfigurationError:
    """What is said before training."""
    with pytest.raises(ConfigurationError) as raised:
        outputs.check(wanted, surroundings({}))
    return raised.value


def test_a_volume_that_cannot_be_written_to_is_refused_before_training(job: Job, tmp_path: Path) -> None:
    wanted = changed(dict(job.config), output={"volume": {"claimName": "models"}})
    (tmp_path / "file").touch()

    word = replace(job, config=wanted, env={environment.OUTPUT_DIR: str(tmp_path / "file" / "no")}).attempt().outcome()

    assert (word.kind, word.reason) == (OutcomeKind.CONFIGURATION, "OutputVolumeNotWritable")


class FullVolume(type(Path())):  # type: ignore[misc]  # The class that this machine's paths have.
    """A folder of a volume in which no block is free, neither for a file nor for a name."""

    def write_bytes(self, data: Any) -> int:
        del data
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def rename(self, target: Any) -> Path:
        del target
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_volume_that_is_full_ends_the_job_before_training_and_after_it_with_the_next_step(tmp_path: Path) -> None:
    here = replace(surroundings({}), output_volume=FullVolume(tmp_path / "models"))
    config, model = tiny.config(output={"volume": {"claimName": "models"}}), tmp_path / "final"
    model.mkdir()
    (model / "model.safetensors").write_bytes(bytes(1000))
    killed = tmp_path / "models" / ".incoming-1"
    killed.mkdir(parents=True)

    with pytest.raises(ConfigurationError) as before:
        outputs.check(config, here)
    with pytest.raises(ConfigurationError) as after:
        outputs.deliver(outputs.Final(folder=model, config=config, here=here))

    assert (before.value.reason, after.value.reason, killed.exists()) == (*("OutputVolumeFull",) * 2, False)
    assert before.value.message == "output.volume is full. Enlarge its claim, or remove what nobody needs."
    assert after.value.message.startswith("output.volume has no room for the 1 MiB of the model. Enlarge its claim")
    assert [*(tmp_path / "models").iterdir()] == []


def test_a_volume_with_too_little_room_for_the_model_is_refused_before_training(tmp_path: Path) -> None:
    here = replace(surroundings({}), output_volume=tmp_path)
    config = tiny.config(output={"volume": {"claimName": "models"}})

    outputs.check_room(config, here, 1 << 20)
    with pytest.raises(ConfigurationError, match=r"room for \d+ MiB, and the model takes 1099511627777 MiB. Enlarge"):
        outputs.check_room(config, here, 1 << 60)


@pytest.mark.parametrize(("merged", "wanted"), [(False, 12), (True, 4 * 100 + 2 * 50 + 12)])
def test_the_room_that_a_model_needs_is_that_of_its_adapter_or_of_all_its_weights(merged: bool, wanted: int) -> None:
    model = torch.nn.ParameterList(
        torch.nn.Parameter(torch.zeros(count, dtype=dtype), requires_grad=trained)
        for count, dtype, trained in ((100, torch.float32, False), (50, torch.uint8, False), (3, torch.float32, True))
    )
    config = tiny.config(peft={"method": "lora"}, output={"merged": merged})

    assert adapters.final_size(model, config) == wanted


def test_a_push_that_was_not_marked_is_done_once_more_and_changes_nothing(job: Job, hub: Hub) -> None:
    one = pushing(job, hub, repo="me/again")
    first = one.finish()
    before = {path.name: (hashed(path), path.stat().st_mtime_ns) for path in pushed(hub, "me/again").iterdir()}
    (job.folder / "volume" / "checkpoint-11111111222233334444555555555555" / "finished").unlink()

    second = one.finish()

    after = {path.name: (hashed(path), path.stat().st_mtime_ns) for path in pushed(hub, "me/again").iterdir()}
    assert (after, weights(second)) == (before, weights(first))


@pytest.mark.parametrize(
    ("repo", "token", "reason"),
    [
        ("others/tiny", "hf_mine", "HubPushRefused"),
        ("me/new", "", "HubTokenMissing"),
        ("me/public", "hf_mine", "RepositoryIsPublic"),
    ],
)
def test_a_push_that_cannot_succeed_is_refused(
    repo: str, token: str, reason: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hub.root / "models" / "me" / "public" / "main").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("HF_TOKEN", token)
    wanted = tiny.config(output={"hub": {"repo": repo}}, hub={"endpoint": hub.url})

    assert refusal(wanted).reason == reason


def test_a_card_says_what_the_model_is_and_is_the_same_after_a_disturbance(job: Job) -> None:
    one = replace(job, config=changed(dict(job.config), training={**SHORT, "max_steps": 10, "eval_steps": 5}))
    plain = replace(one, folder=job.folder / "plain").finish()
    disturbed = replace(one, folder=job.folder / "again").disturbed((7,), "SIGKILL")

    cards = [(final(one) / "README.md").read_text() for one in (plain, disturbed)]
    row = next(one for one in reversed(result(plain)[1]) if "eval_loss" in one)
    said = (
        f"| eval_loss | `{row['eval_loss']:.6g}` |",
        "| job | `default/tiny` |",
        "pipeline_tag: text-classification",
    )
    assert (cards[0] == cards[1], [one in cards[0] for one in said]) == (True, [True] * 3), cards[0]


def test_a_card_says_nothing_of_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    named = tiny.config(wandb={"name": "hf_abcdefgh | `x`"})

    card.write(tmp_path, card.Story(config=named, log=(), steps=3, versions={}, dataset="d", run_url=None))

    assert "abcdefgh" not in (tmp_path / "README.md").read_text()
