"""`finetune run` as far as it comes without training: what is refused, and what is said."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune_cli import here
from finetune_cli.main import main
from finetune_operator.cluster.port import Manifest
from finetune_sandbox.wandb_server import WandbServer

from tests.operator.api.cases import base, merged

ROOT = Path(__file__).parents[2]
TOO_LONG = "[/data/train]" + "x" * 256
KEY: Manifest = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "wandb"},
    "stringData": {"WANDB_API_KEY": "k" * 40},
}
CODE: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"a.py": "pass"}}
UNMAKEABLE = {
    "volumes": [{"name": "code", "configMap": {"name": "code", "items": [{"key": "a.py", "path": TOO_LONG}]}}],
    "volumeMounts": [{"name": "code", "mountPath": "/code"}],
}
"""A pod whose container no machine can make: the run ends at once, without training."""


@pytest.fixture(autouse=True)
def of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has no keys, no login and no GPU."""
    for name in ("WANDB_API_KEY", "HF_TOKEN", "WANDB_ENTITY", "HF_TOKEN_PATH", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def job_file(folder: Path, spec: dict[str, Any], *beside: Manifest) -> str:
    """A file with the base job, changed, and what stands beside it."""
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump_all([merged(base(), {"spec": spec}), *beside]))
    return str(file)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said last, to whichever stream."""
    said = capsys.readouterr()
    return (said.out + said.err).splitlines()[-1]


def test_a_container_that_cannot_be_made_ends_the_run_with_the_reason_as_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["run", job_file(tmp_path, {"podTemplate": UNMAKEABLE}, KEY, CODE)])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ContainerNotCreated: ")]
    assert (status, len(told), all(TOO_LONG in line for line in told)) == (1, 2, True)


def test_a_job_for_a_large_cluster_comes_to_its_container_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = {
        "priorityClassName": "high",
        "nodeSelector": {"gpu": "h100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "schedulerName": "volcano",
        "resources": {"limits": {"rdma/hca": 8}},
    }
    compute = {"nodes": 4, "gpusPerNode": 8, "gpuResource": "amd.com/gpu", "cpusPerNode": 96, "memoryPerNode": "1Ti"}
    spec = {"podTemplate": UNMAKEABLE | placed, "compute": compute, "suspend": True}
    status = main(["run", job_file(tmp_path, spec, KEY, CODE)])
    said = capsys.readouterr().out.splitlines()
    assert (status, said[:2], said[-1].split(":")[0]) == (
        1,
        [
            "Placement is left out here: nodeSelector, tolerations, affinity, priorityClassName, schedulerName.",
            "suspend is left out here: a local run begins at once.",
        ],
        "ContainerNotCreated",
    )


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param(
            {},
            "wandb.secretRef needs the key WANDB_API_KEY of the Secret wandb, which is not here. Set it with `export "
            "WANDB_API_KEY=...`, log in with `wandb login`, or put the Secret into {file}, beside the job.",
            id="a key that nobody has",
        ),
        pytest.param(
            {"output": {"volume": {"claimName": "models"}}},
            "The job names the claim models, which would be gone with this run. Give --state DIR: its files are then "
            "in DIR/pods/claims/default/models.",
            id="a claim that would be gone",
        ),
    ],
)
def test_what_cannot_run_here_is_refused_with_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: dict[str, Any], sentence: str
) -> None:
    w = KEY | {"metadata": {"name": "w"}}
    file = job_file(tmp_path, spec, w)
    assert (main(["run", file]), last_line(capsys)) == (1, sentence.format(file=file))


def test_more_gpus_than_this_user_may_have_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    status = main(["run", job_file(tmp_path, {"compute": {"nodes": 2}}, KEY)])
    assert (status, last_line(capsys)) == (
        1,
        (
            "The job asks for 2 GPUs, and this machine has 1. Lower compute.nodes or compute.gpusPerNode, or train on "
            "the CPU with CUDA_VISIBLE_DEVICES= before the command."
        ),
    )


@pytest.mark.parametrize(
    ("wandb", "sentence"),
    [
        ({"mode": "offline"}, "--compare reads what the W&B server has stored, and wandb.mode is offline. "),
        ({"baseUrl": "https://wandb.example"}, "--compare reads what the sandbox's W&B server has stored, and "),
    ],
)
def test_a_comparison_for_which_there_would_be_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wandb: dict[str, Any], sentence: str
) -> None:
    spec = {"wandb": wandb, "checkpoint": {"volume": {"claimName": "kept"}}}
    status = main(["run", job_file(tmp_path, spec), "--sandbox", "--compare"])
    assert (status, last_line(capsys).startswith(sentence)) == (1, True)


@pytest.mark.parametrize("option", ["--compare", "--keep-server"])
def test_what_needs_the_sandboxs_server_is_refused_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    status = main(["run", job_file(tmp_path, {}), option])
    assert (status, last_line(capsys).endswith("Give --sandbox as well.")) == (1, True)


def test_a_secret_that_stands_nowhere_is_named_before_anything_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(ROOT / "examples" / "buckets.yaml")
    status = main(["run", file, "--sandbox"])
    assert (status, last_line(capsys)) == (
        1,
        f"podTemplate names the Secret buckets, which is not here. Put it into {file}, beside the job.",
    )


def test_a_document_without_a_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = job_file(tmp_path, {}, {"apiVersion": "v1", "kind": "Secret", "stringData": {}})
    assert (main(["run", file]), last_line(capsys)) == (
        1,
        f"{file} holds a Secret without a name. Give it metadata.name.",
    )


def test_a_state_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = job_file(tmp_path, {}, KEY)
    assert (main(["run", file, "--state", file]), last_line(capsys)) == (
        1,
        f"--state {file} cannot be used: File exists. Name a folder of yours.",
    )


def test_the_state_is_for_this_user_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    main(["run", job_file(tmp_path, {"podTemplate": UNMAKEABLE}, KEY, CODE), "--state", str(state)])
    assert [oct(each.stat().st_mode)[-3:] for each in (state, state / "pods", state / "wandb")] == ["700"] * 3


@pytest.mark.parametrize("step", ["0", "-3", "soon"])
def test_a_step_that_never_comes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], step: str) -> None:
    with pytest.raises(SystemExit):
        main(["run", job_file(tmp_path, {}, KEY), f"--preempt-at={step}"])
    assert f"{step} is no step: write a whole number from 1 on" in last_line(capsys)


def test_compute_may_be_left_empty(tmp_path: Path) -> None:
    file = Path(job_file(tmp_path, {"podTemplate": UNMAKEABLE}, KEY, CODE))
    file.write_text(file.read_text().replace("\nspec:\n", "\nspec:\n  compute:\n", 1))
    assert main(["run", str(file)]) == 1


@pytest.mark.parametrize(
    ("gpus", "devices", "accelerator"), [(1, ("0",), "cuda"), (0, ("0",), "cpu"), (1, (), "cpu"), (1, None, "cpu")]
)
def test_deepspeed_trains_on_the_gpus_of_the_job(gpus: int, devices: tuple[str, ...] | None, accelerator: str) -> None:
    assert here.accelerator({"spec": {"compute": {"gpusPerNode": gpus}}}, devices) == accelerator


def test_a_folder_that_another_run_uses_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    (state / "wandb").mkdir(parents=True)
    with WandbServer(state / "wandb"):
        status = main(["run", job_file(tmp_path, {}), "--sandbox", "--state", str(state)])
    assert (status, "is in use by another run" in last_line(capsys)) == (1, True)
