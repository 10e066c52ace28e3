"""What the supervisor says of ranks that end badly, with a few lines of shell in the ranks' place."""

from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.contract.outcome import ExitCode, Outcome
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.launch import free_port
from finetune_trainer.redaction import redacted
from finetune_trainer.supervisor import Supervisor
from finetune_trainer.surroundings import surroundings

JOB: dict[str, Any] = {
    "job": {"name": "tiny", "namespace": "default", "uid": "u"},
    "runId": "u",
    "task": "text-classification",
    "model": {"uri": "hf://a/b"},
    "dataset": {"uri": "hf://a/b"},
    "hangTimeoutSeconds": 1,
}


def ended(folder: Path, ranks: str) -> tuple[str, ExitCode]:
    """The reason and exit code of a supervisor whose ranks are a shell script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{ranks}\n")
    python.chmod(0o755)
    here = surroundings(
        {
            "FINETUNE_WORK_DIR": str(folder / "work"),
            "FINETUNE_TERMINATION_LOG": str(folder / "word"),
            "FINETUNE_PROGRESS_PORT": str(free_port()),
            "POD_IP": "127.0.0.1",
        }
    )
    code = Supervisor(RunConfig.model_validate(JOB), folder / "run.json", here, python=(str(python),)).run()
    return Outcome.model_validate_json((folder / "word").read_text()).reason, code


@pytest.mark.parametrize(
    ("ranks", "reason", "code"),
    [
        pytest.param("exit 3", "Crashed", ExitCode.FAILED, id="no word"),
        pytest.param("kill -KILL $$", "KilledBySignal", ExitCode.FAILED, id="a signal"),
        pytest.param("exec sleep 600", "Hung", ExitCode.HUNG, id="no step"),
    ],
)
def test_ranks_without_a_word_are_put_into_words(tmp_path: Path, ranks: str, reason: str, code: ExitCode) -> None:
    assert ended(tmp_path, ranks) == (reason, code)


def test_no_secret_leaves_the_pod() -> None:
    text = "key local-0123456789 at https://me:word@host/x"
    assert redacted(text, {"WANDB_API_KEY": "local-0123456789"}) == "key [redacted] at https://[redacted]@host/x"
