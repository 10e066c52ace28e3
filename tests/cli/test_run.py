"""`finetune run`: the README's first command, as a user types it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.browsing import page

ROOT = Path(__file__).parent.parent.parent
FINETUNE = str(Path(sys.executable).with_name("finetune"))
pytestmark = pytest.mark.training


def finetune(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as installed."""
    command = (FINETUNE, *arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)


def test_a_preempted_run_is_identical_to_an_undisturbed_one() -> None:
    done = finetune("run", "examples/bert-mrpc.yaml", "--sandbox", "--preempt-at", "40", "--compare")
    said = dict(line.split(":", 1) for line in done.stdout.splitlines() if line.startswith(REPORTED))
    assert (done.returncode, {name: value.strip() for name, value in said.items()}) == (
        0,
        {
            "steps": "96",
            "restarts": "1",
            "steps lost": "0",
            "identical to the undisturbed run": "yes",
        },
    ), done.stdout + done.stderr


REPORTED = ("steps", "restarts", "identical to")


def test_a_job_that_cannot_run_ends_with_its_sentence_and_its_pages_stay_until_ctrl_c(tmp_path: Path) -> None:
    job = (ROOT / "examples" / "bert-mrpc.yaml").read_text().replace("label: label", "label: lable")
    (tmp_path / "job.yaml").write_text(job)
    command = (FINETUNE, "run", str(tmp_path / "job.yaml"), "--sandbox", "--keep-server")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        printed = [""]
        while not printed[-1].startswith("The runs are at "):
            printed.append(running.stdout.readline())
            assert printed[-1], printed
        shown = page(printed[-1].split()[4]).all("h1")[0].text
        running.send_signal(signal.SIGINT)
        status = running.wait(30)
    assert (status, shown, "ColumnNotFound: " in "".join(printed), "lable" in "".join(printed)) == (
        1,
        "Runs",
        True,
        True,
    )


@pytest.mark.parametrize("option", ["--compare", "--keep-server"])
def test_what_needs_the_sandboxs_server_is_refused_without_it(option: str) -> None:
    done = finetune("run", "examples/bert-mrpc.yaml", option)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("Give --sandbox as well.\n")


def test_a_secret_that_stands_nowhere_is_named_before_anything_is_trained() -> None:
    done = finetune("run", "examples/buckets.yaml", "--sandbox")
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "podTemplate names the Secret buckets, which is not here. Put it into examples/buckets.yaml, beside the job.\n",
    )
