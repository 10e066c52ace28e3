"""A link from a W&B Registry collection to the final model's artifact."""

import wandb

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError, RetryLater
from finetune_trainer.outputs.output import Final
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.tracking.run import brief, wishes

PREFIX = "wandb-registry-"
REFUSED = ("not found", "does not exist", "permission", "forbidden", "403", "404", "unable to resolve", "another type")


def is_wanted(config: RunConfig) -> bool:
    """Whether the job names a collection."""
    return config.output.registry is not None


def check(config: RunConfig, here: Surroundings) -> None:
    """A link needs something to point at."""
    del here
    settings = wishes(config)
    if settings.mode != "online" or settings.log_model == "false":
        raise ConfigurationError(
            "RegistryNeedsArtifact",
            "output.registry links the model's W&B artifact, and this job publishes none. Set wandb.mode: online with "
            "an API key and wandb.logModel: end, or leave output.registry out.",
        )


def deliver(final: Final) -> None:
    """Link the artifact under its aliases; the same version keeps its place there."""
    wanted = final.config.output.registry
    if wanted is None or final.run is None or final.artifact is None:
        return
    try:
        final.run.link_artifact(final.artifact, path(wanted.collection), aliases=[*wanted.aliases])
    except (wandb.errors.Error, ValueError) as problem:
        if any(sign in str(problem).lower() for sign in REFUSED):
            raise ConfigurationError(
                "RegistryRefused",
                f"The model is in W&B as {final.artifact.qualified_name}, but it could not be linked to "
                f"{wanted.collection}: {brief(problem)}. Correct output.registry.collection, which is "
                "registry/collection, or let the key's owner write there.",
            ) from problem
        raise RetryLater(
            "WandbUnreachable", f"The model could not be linked to {wanted.collection}: {brief(problem)}."
        ) from problem


def path(collection: str) -> str:
    """The collection as W&B writes it."""
    return collection if collection.startswith(PREFIX) else f"{PREFIX}{collection}"
