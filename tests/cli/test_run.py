"""`finetune run`: the README's first command, as a user types it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.training


def finetune(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as installed."""
    command = (str(Path(sys.executable).with_name("finetune")), *arguments)
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


def test_a_job_that_cannot_run_ends_with_its_sentence(tmp_path: Path) -> None:
    job = (ROOT / "examples" / "bert-mrpc.yaml").read_text().replace("label: label", "label: lable")
    (tmp_path / "job.yaml").write_text(job)
    done = finetune("run", str(tmp_path / "job.yaml"), "--sandbox")
    assert done.returncode == 1
    assert "ColumnNotFound: " in done.stdout
    assert "lable" in done.stdout


def test_a_comparison_without_the_sandbox_is_refused() -> None:
    done = finetune("run", "examples/bert-mrpc.yaml", "--compare")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "--compare reads what the W&B server has stored. Give --sandbox as well.\n"
