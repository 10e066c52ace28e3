"""The model card: what the model was made from, what it measures, and where that can be looked up.

It says the same in every attempt, so that a model delivered twice is one version. Nothing of it comes from the
environment's secrets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.redaction import redacted

CARD = "README.md"
PARTS = ("eval_", "test_")
OF_THE_CLOCK = ("_runtime", "_per_second")
PIPELINES = {"conversational": "text-generation", "preference": "text-generation"}
"""The Hub's name of a task, where it is not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Where a model comes from."""

    config: RunConfig
    log: Sequence[Mapping[str, Any]]
    """The Trainer's log history."""
    steps: int
    """The optimizer step that the model is of."""
    versions: Mapping[str, str]
    """Of the places it was made from."""
    dataset: str
    """The fingerprint of the data."""
    run_url: str | None = None
    image: str | None = None


def write(folder: Path, story: Story) -> None:
    """Put the card beside the model; one that a library left there gives way."""
    adapted = (folder / "adapter_config.json").exists()
    (folder / CARD).write_text(redacted(f"---\n{_head(story, adapted=adapted)}---\n\n{_body(story)}"))


def _head(story: Story, *, adapted: bool) -> str:
    config = story.config
    model, data = config.model.uri, config.dataset.uri
    said: dict[str, Any] = {
        "library_name": "peft" if adapted else "transformers",
        "pipeline_tag": PIPELINES.get(config.task, config.task),
        "base_model": model.removeprefix("hf://") if model.startswith("hf://") else None,
        "datasets": [data.removeprefix("hf://")] if data.startswith("hf://") else None,
        "tags": ["finetune-operator"],
    }
    if config.task == "multiple-choice":
        del said["pipeline_tag"]  # The Hub has no such pipeline.
    return yaml.safe_dump({name: value for name, value in said.items() if value}, sort_keys=False)


def _body(story: Story) -> str:
    config = story.config
    parts = [
        f"# {config.wandb.name or config.job.name}",
        f"Fine-tuned for {config.task} from {_code(config.model.uri)} on {_code(_data(config))}, {story.steps} steps.",
        _table("Results", _metrics(story)),
        _table("Training", _training(config)),
        _table("Where it comes from", _origin(story)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _data(config: RunConfig) -> str:
    return f"{config.dataset.uri} ({config.dataset.config})" if config.dataset.config else config.dataset.uri


def _metrics(story: Story) -> dict[str, Any]:
    """The last row of each kind of evaluation that does not come after the model."""
    found: dict[str, Any] = {}
    for row in story.log:
        if row.get("step", 0) <= story.steps:
            found |= {
                name: value
                for name, value in row.items()
                if name.startswith(PARTS) and not name.endswith(OF_THE_CLOCK) and isinstance(value, int | float)
            }
    return {name: f"{value:.6g}" for name, value in sorted(found.items())}


def _training(config: RunConfig) -> dict[str, Any]:
    chosen = config.training.model_dump(mode="json", exclude_unset=True)
    peft = config.peft.model_dump(mode="json") if config.peft else {}
    whole = {**chosen, "globalBatchSize": config.global_batch_size, **{f"peft.{name}": peft[name] for name in peft}}
    return {name: value for name, value in whole.items() if value is not None}


def _origin(story: Story) -> dict[str, Any]:
    job = story.config.job
    said = {
        "job": f"{job.namespace}/{job.name}",
        "uid": job.uid,
        "W&B run": story.run_url,
        "image": story.image,
        "data fingerprint": story.dataset,
        **{f"version of {place}": version for place, version in sorted(story.versions.items())},
    }
    return {name: value for name, value in said.items() if value}


def _table(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    lines = (f"| {name} | {_code(value)} |" for name, value in rows.items())
    return "\n".join((f"## {title}", "", "| | |", "|---|---|", *lines))


def _code(value: Any) -> str:
    """A value as it stands: what its author wrote is no markup."""
    return "`" + str(value).replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"
