"""run.json, read, or refused in sentences, without anything that trains: the pod's first process reads it."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from finetune_trainer.contract.program import ProgramRun
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError


def load(path: Path) -> RunConfig | ProgramRun:
    """The job's run.json."""
    try:
        content = path.read_bytes()
        kind = ProgramRun if brings_a_program(content) else RunConfig
        return kind.model_validate_json(content)
    except OSError as problem:
        raise ConfigurationError(
            "ConfigUnreadable", f"The run's configuration cannot be read: {problem}. Mount it where {path} is."
        ) from problem
    except pydantic.ValidationError as problem:
        raise ConfigurationError("ConfigInvalid", in_sentences(problem)) from problem


def brings_a_program(content: bytes) -> bool:
    """Whether a run.json is of a job with a program of its own."""
    with contextlib.suppress(ValueError):
        said = json.loads(content)
        return isinstance(said, dict) and "program" in said
    return False


def in_sentences(problem: pydantic.ValidationError) -> str:
    """Every mistake of a configuration with the place where it is."""
    return " ".join(_sentence(mistake) for mistake in problem.errors(include_url=False))


def _sentence(mistake: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in mistake["loc"]) or "The configuration"
    if mistake["type"] == "extra_forbidden":
        return f"{place} is not a field: remove it or correct its name."
    if mistake["type"] == "missing":
        return f"{place} is missing: add it."
    said = str(mistake["msg"]).removeprefix("Value error, ")
    return f"{place}: {said}" + ("" if said.endswith(".") else ".")
