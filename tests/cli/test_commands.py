import io
from pathlib import Path

import pytest
import yaml
from finetune_cli.jobs import JobFileError, jobs
from finetune_cli.main import main
from finetune_operator.api.crd import text

from tests.operator.api.cases import FOLDER, base, merged

BASE = str(FOLDER / "base.yaml")
EXAMPLES = sorted((Path(__file__).parent.parent.parent / "examples").glob("*.yaml"))


def file_of(folder: Path, **spec: object) -> str:
    """A file with the base job, changed."""
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(merged(base(), {"spec": spec})))
    return str(file)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_valid(example: Path) -> None:
    assert main(["validate", str(example)]) == 0


def test_a_valid_job_is_called_valid(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["validate", BASE])
    assert (status, capsys.readouterr().out) == (0, f"{BASE}: base is valid.\n")


def test_an_invalid_job_is_answered_with_its_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_of(tmp_path, training={"output_dir": "out"})
    status = main(["validate", file])
    said = f"{file}: base: spec.training.output_dir: Leave it out: every attempt has a directory of its own.\n"
    assert (status, capsys.readouterr().out) == (1, said)


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["validate", file_of(tmp_path, training={"learning_rat": 1})])
    assert capsys.readouterr().out.endswith("Did you mean learning_rate?\n")


def test_one_invalid_job_among_valid_ones_is_enough(tmp_path: Path) -> None:
    assert main(["validate", BASE, file_of(tmp_path, task="nonsense")]) == 1


def test_a_job_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(Path(BASE).read_text()))
    assert main(["validate", "-"]) == 0


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def read(self) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Interrupted())
    assert main(["validate", "-"]) == 130


def test_a_file_that_is_absent_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["validate", str(tmp_path / "none.yaml")])
    assert (status, "Correct the path." in capsys.readouterr().err) == (1, True)


@pytest.mark.parametrize("content", ["", "- 1\n", "a: b: c\n", "kind: Secret\n"])
def test_a_file_without_jobs_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "file.yaml").write_text(content)
    with pytest.raises(JobFileError):
        jobs(str(tmp_path / "file.yaml"))


def test_objects_beside_the_job_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(f"kind: Secret\napiVersion: v1\n---\n{Path(BASE).read_text()}")
    assert [job["kind"] for job in jobs(str(tmp_path / "file.yaml"))] == ["FineTuneJob"]


def test_a_list_is_read_as_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [base(), base()]}))
    assert len(jobs(str(tmp_path / "file.yaml"))) == 2


def test_a_key_that_stands_there_twice_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("kind: FineTuneJob\nspec:\n  task: a\n  task: b\n")
    with pytest.raises(JobFileError, match=r"(?s)task stands there twice.*line 4"):
        jobs(str(tmp_path / "file.yaml"))


def test_a_job_whose_name_the_api_server_makes_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(base() | {"metadata": {"generateName": "base-"}}))
    status = main(["validate", str(file)])
    assert (status, capsys.readouterr().out) == (0, f"{file}: base-xxxxx is valid.\n")


def test_a_file_without_jobs_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.yaml").write_text("")
    status = main(["validate", str(tmp_path / "empty.yaml"), BASE])
    said = capsys.readouterr()
    assert (status, said.out, "holds no FineTuneJob" in said.err) == (1, f"{BASE}: base is valid.\n", True)


def test_a_job_at_which_the_trainer_cannot_look_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "finetune_trainer.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status = main(["validate", "--deep", BASE, BASE, file_of(tmp_path, task="nonsense")])
    said = capsys.readouterr().out.splitlines()
    assert (status, ["The trainer could not look" in line for line in said]) == (1, [True, True, False])


@pytest.mark.parametrize(
    ("said", "instead", "answer"),
    [
        ("label: label", "label: y", "spec.dataset.columns.label: must be of type string."),
        ("num_train_epochs: 3", "max_steps: 1e3", "is valid."),
        ("config: mrpc", "revision: 12:30", "is valid."),
    ],
)
def test_words_are_read_as_kubectl_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str, instead: str, answer: str
) -> None:
    (tmp_path / "job.yaml").write_text(Path(BASE).read_text().replace(said, instead))
    main(["validate", str(tmp_path / "job.yaml")])
    assert capsys.readouterr().out.endswith(f"{answer}\n")


def test_a_job_of_another_version_is_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(base() | {"apiVersion": "finetune.dev/v1"}))
    main(["validate", str(tmp_path / "job.yaml")])
    assert "apiVersion: must be finetune.dev/v1alpha1." in capsys.readouterr().out


@pytest.mark.parametrize(
    "changed", [{"metadata": []}, {"metadata": {}}, {"spec": "none"}, {"sepc": {}}, {"spec": None}]
)
def test_a_job_of_the_wrong_shape_is_answered(tmp_path: Path, changed: dict[str, object]) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(base() | changed))
    assert main(["validate", str(tmp_path / "job.yaml")]) == 1


@pytest.mark.parametrize(
    ("metadata", "answer"),
    [
        ("labels: {team: 1}", "metadata.labels.team: must be of type string."),
        ("annotations: {date: y}", "metadata.annotations.date: must be of type string."),
        ("namspace: x", 'unknown field "metadata.namspace". Did you mean namespace?'),
        ("labels: {team: A B!}", "metadata.labels: A label's value is empty or has at most 63 letters"),
        ("labels: {a b: x}", "metadata.labels: A name here is like team or example.com/team"),
        ("annotations: {A.com/a: a b!}, labels: null, creationTimestamp: null, generateName: x", " is valid."),
    ],
)
def test_metadata_is_answered_as_by_kubectl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metadata: str, answer: str
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(Path(BASE).read_text().replace("name: base", f"name: base, {metadata}"))
    statuses = {main([command, str(file)]) for command in ("validate", "render")}
    assert (answer in capsys.readouterr().out, statuses) == (True, {int("is valid" not in answer)})


def test_the_crd_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["crd"])
    assert (status, capsys.readouterr().out) == (0, text())


def test_one_node_is_rendered_without_service(capsys: pytest.CaptureFixture[str]) -> None:
    main(["render", BASE])
    kinds = [manifest["kind"] for manifest in yaml.safe_load_all(capsys.readouterr().out)]
    assert kinds == ["ConfigMap", "Pod"]


def test_a_gang_is_rendered_with_its_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["render", file_of(tmp_path, compute={"nodes": 2}), "--image", "trainer:1"])
    rendered = list(yaml.safe_load_all(capsys.readouterr().out))
    images = [m["spec"]["containers"][0]["image"] for m in rendered if m["kind"] == "Pod"]
    assert ([m["kind"] for m in rendered], images) == (["ConfigMap", "Service", "Pod", "Pod"], ["trainer:1"] * 2)


def test_several_jobs_are_rendered_as_documents_of_one_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.yaml").write_text(f"{Path(BASE).read_text()}\n---\n{Path(BASE).read_text()}")
    main(["render", str(tmp_path / "jobs.yaml")])
    kinds = [manifest["kind"] for manifest in yaml.safe_load_all(capsys.readouterr().out)]
    assert kinds == ["ConfigMap", "Pod"] * 2


def test_an_invalid_job_is_not_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["render", file_of(tmp_path, wandb={"secretRef": None})])
    said = capsys.readouterr()
    assert (status, said.out, "wandb.secretRef" in said.err) == (1, "", True)
