"""The deep half of `finetune validate`: the trainer reads what it would train with, and trains nothing."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from finetune_trainer.contract import environment

from finetune_cli.jobs import JobFileError

NEEDS_THE_TRAINER = (
    "--deep reads what the trainer reads, with its libraries. Install them with `pip install "
    "'CHECKOUT[sandbox,trainer]'`, where CHECKOUT is this repository, or run this in the trainer's image."
)


def findings(job: dict[str, Any], mounts: dict[str, Path]) -> tuple[str, ...]:
    """What would end a valid job before its first step; `mounts` says where paths of its pods are on this machine."""
    if importlib.util.find_spec("torch") is None:
        raise JobFileError(NEEDS_THE_TRAINER)
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        file = Path(scratch) / "run.json"
        file.write_text(json.dumps(_here(_run_config(job), mounts)))
        command = [sys.executable, "-m", "finetune_trainer.examine", str(file)]
        done = subprocess.run(command, env=_environment(job, scratch), stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        raise JobFileError("The trainer could not look at the job; what it printed says why.")
    return tuple(_there(f"{found['reason']}: {found['message']}", mounts) for found in json.loads(done.stdout))


def _run_config(job: dict[str, Any]) -> dict[str, Any]:
    from finetune_operator.build.config_map import run_config
    from finetune_operator.config import Config

    from finetune_cli.admission import parsed

    return run_config(parsed(job), Config(trainer_image="none")).model_dump(mode="json", exclude_unset=True)


def _here(value: Any, mounts: dict[str, Path]) -> Any:
    """The value with paths of the pods, also behind file://, as they are on this machine."""
    if isinstance(value, dict):
        return {name: _here(inner, mounts) for name, inner in value.items()}
    if isinstance(value, list):
        return [_here(each, mounts) for each in value]
    if isinstance(value, str):
        scheme, path = ("file://", value[7:]) if value.startswith("file://") else ("", value)
        for mounted, folder in mounts.items():
            if path == mounted or path.startswith(f"{mounted}/"):
                return f"{scheme}{folder}{path.removeprefix(mounted)}"
    return value


def _there(message: str, mounts: dict[str, Path]) -> str:
    """The message with this machine's folders as the pods, and the job's author, know them."""
    for mounted, folder in mounts.items():
        message = message.replace(str(folder), mounted)
    return message


def _environment(job: dict[str, Any], scratch: str) -> dict[str, str]:
    """This user's variables, with the addresses that the job names, and the folder for what is fetched."""
    spec = job["spec"]
    named = {
        environment.WORK_DIR: scratch,
        "HF_ENDPOINT": (spec.get("hub") or {}).get("endpoint"),
        "WANDB_BASE_URL": (spec.get("wandb") or {}).get("baseUrl"),
    }
    return {**os.environ, **{name: value for name, value in named.items() if value}}
