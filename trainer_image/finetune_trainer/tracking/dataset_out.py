"""The data set as an artifact that the run uses: where it is, which version, and the fingerprint of its numbers.

The rows stay where they are. The same data give the same version, in every attempt and in every job.
"""

import json
from collections.abc import Mapping
from typing import Any

import wandb

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.tracking.models_out import safe

TYPE = "dataset"
FILE = "dataset.json"


def described(config: RunConfig, fingerprint: str, versions: Mapping[str, str]) -> Mapping[str, Any]:
    """What is said of the job's data."""
    source = config.dataset
    read = {source.uri, *(one.uri for one in source.mix)}
    return {
        **source.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "fingerprint": fingerprint,
        "versions": {place: version for place, version in versions.items() if place.partition("@")[0] in read},
    }


def artifact(said: Mapping[str, Any]) -> Any:
    """The artifact, named after the place."""
    place = str(said["uri"]).partition("://")[2].partition(":")[0].strip("/")
    made = wandb.Artifact(f"dataset-{safe(place)}", type=TYPE, metadata=dict(said))
    with made.new_file(FILE) as file:
        json.dump(said, file, indent=2, sort_keys=True)
    return made
