"""What a run shows beside its numbers: nothing twice, nothing lost, and no trace of it in the training."""

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from finetune_sandbox.wandb_server.embedded import WandbServer
from finetune_trainer.callbacks.log_line import LogLine, line
from finetune_trainer.callbacks.speed import operations

from tests.trainer.resume_fixtures import tracked
from tests.trainer.running import Job, Running, lasting, weights

pytestmark = pytest.mark.training

SHOWN: dict[str, Any] = {
    "evaluation": {"predictionTable": {"rows": 5}, "confusionMatrix": True},
    "wandb": {"project": "tests", "group": "compared", "watch": "gradients"},
    "training": {"eval_strategy": "epoch"},
}


def story(server: WandbServer, name: str) -> list[dict[str, Any]]:
    """The run's rows, each table by the hash of its content."""
    return [{column: _content(value) for column, value in lasting(row)} for row in server.run(name).history]


def _content(value: Any) -> Any:
    return value.get("sha256", value) if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def plain(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], socket: Path, server: WandbServer
) -> Running:
    """An undisturbed run that shows all that there is."""
    one = Job(folder=tmp_path_factory.mktemp("plain"), config=config, socket=socket)
    return tracked(one, server, "plain", **SHOWN).finish()


def test_tables_matrices_and_histograms_are_those_of_an_undisturbed_run(
    job: Job, server: WandbServer, plain: Running
) -> None:
    again = tracked(job, server, "again", **SHOWN).disturbed((16,), "SIGKILL")

    assert (weights(again), story(server, "again")) == (weights(plain), story(server, "plain"))


def test_two_jobs_of_a_group_compare_and_one_that_shows_nothing_has_the_same_weights(
    job: Job, server: WandbServer, plain: Running
) -> None:
    training = {**SHOWN["training"], "logging_steps": 4}
    bare = {"wandb": {"project": "tests", "group": "compared"}, "training": training}
    other = tracked(job, server, "other", **bare).finish()
    one, two = server.run("plain"), server.run("other")

    differ = {name for name in one.config if one.config[name] != two.config.get(name)}
    columns = [
        {name for row in run.history for name in row if name.startswith(("train/", "eval/"))} for run in (one, two)
    ]
    assert (one.group, differ) == (two.group, {"logging_steps", "evaluation", "job", "output_dir"})
    assert columns[0] - columns[1] == {"eval/predictions", "eval/confusion_matrix_table"}
    assert columns[1] >= {
        "train/loss",
        "train/grad_norm",
        "train/tokens_per_second",
        "eval/f1_yes",
        "eval/precision_no",
    }
    assert weights(other) == weights(plain)


@pytest.mark.usefixtures("plain")
def test_a_run_says_what_was_trained_from_what(server: WandbServer) -> None:
    said = server.run("plain").config

    assert (said["job"]["uid"], len(said["dataset_fingerprint"]), said["dataset"]["columns"]["label"]) == (
        "plain",
        64,
        "label",
    )
    assert "model_architecture.txt" in server.run("plain").files


def test_the_pods_log_has_one_readable_line_for_a_row(plain: Running) -> None:
    lines = (plain.work / "log").read_text().splitlines()
    rows = [line for line in lines if "step 12/24" in line]

    assert len(rows) == 1
    assert rows[0].startswith("step 12/24 (50 %), loss 0.")
    assert [line for line in lines if "/24 (" in line and not line.startswith("step ")] == []
    warnings = [line for line in lines if line.startswith("wandb: WARNING")]
    assert [line for line in warnings if "already exists with the same content" not in line] == []


def test_a_row_is_one_write_so_that_nothing_comes_between_it_and_its_end() -> None:
    written: list[str] = []
    log = SimpleNamespace(write=written.append, flush=lambda: None)
    with contextlib.redirect_stdout(log):  # As much of a stream as the row needs.
        LogLine().on_log(None, SimpleNamespace(global_step=3, max_steps=6), None, {"loss": 0.5})

    assert written == ["step 3/6 (50 %), loss 0.5\n"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.00012345, "0.0001234"), (999.96, "1000"), (35161.4, "35161"), (1.5e12, "1.5e+12"), (-2e4, "-20000"), (7, "7")],
)
def test_numbers_are_said_as_people_read_them(value: float, said: str) -> None:
    assert line({"loss": value}, step=1, steps=2) == f"step 1/2 (50 %), loss {said}"


@pytest.mark.parametrize("tied", [True, False])
def test_arithmetic_counts_matrices_and_not_what_is_looked_up(tied: bool) -> None:
    import transformers

    settings = transformers.GPT2Config(vocab_size=50, n_positions=20, n_embd=8, n_layer=1, n_head=2)
    settings.tie_word_embeddings = tied
    model = transformers.GPT2LMHeadModel(settings)
    everything = sum(one.numel() for one in model.parameters())
    looked_up = 20 * 8 + (0 if tied else 50 * 8)

    assert operations(model) == 6 * (everything - looked_up)
    model.requires_grad_(requires_grad=False)
    assert operations(model) == 4 * (everything - looked_up)
