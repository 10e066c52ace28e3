"""A Hub repository with the final model: private unless the job says otherwise."""

import os
from typing import Any

from finetune_trainer.contract.outputs import HubPush
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError, RetryLater
from finetune_trainer.files import NOT_A_MODEL
from finetune_trainer.hub import refusal
from finetune_trainer.outputs.output import Final
from finetune_trainer.pod.surroundings import Surroundings


def is_wanted(config: RunConfig) -> bool:
    """Whether the job names a repository."""
    return config.output.hub is not None


def check(config: RunConfig, here: Surroundings) -> None:
    """Create the repository, so that a name or a token that is refused is refused before training."""
    del here
    wanted = _wanted(config)
    if not os.environ.get("HF_TOKEN"):
        raise ConfigurationError(
            "HubTokenMissing",
            f"output.hub.repo {wanted.repo} needs a token that may write there. Name a Secret with it in "
            "hub.secretRef, or leave output.hub out.",
        )
    api = _api(config)
    try:
        api.create_repo(wanted.repo, private=wanted.private, exist_ok=True)
        _refuse_readers(api, wanted)
        is_private = api.model_info(wanted.repo).private
    except Exception as problem:
        raise _in_words(problem, wanted) from problem
    if wanted.private and not is_private:
        raise ConfigurationError(
            "RepositoryIsPublic",
            f"output.hub.repo {wanted.repo} exists and everybody can read it. Set output.hub.private: false, or name "
            "another repository.",
        )


def deliver(final: Final) -> None:
    """Push the folder as one commit; files that are there already are not sent again."""
    wanted, job = _wanted(final.config), final.config.job
    try:
        _api(final.config).upload_folder(
            repo_id=wanted.repo,
            folder_path=final.folder,
            ignore_patterns=list(NOT_A_MODEL),
            commit_message=f"Final model of {job.namespace}/{job.name}",
        )
    except Exception as problem:
        raise _in_words(problem, wanted) from problem


def _refuse_readers(api: Any, wanted: HubPush) -> None:
    """Ask how a small file would be sent: nothing is, but whoever may only read is refused."""
    import huggingface_hub

    card = huggingface_hub.CommitOperationAdd(path_in_repo="README.md", path_or_fileobj=b"-")
    api.preupload_lfs_files(wanted.repo, additions=[card])


def _wanted(config: RunConfig) -> HubPush:
    assert config.output.hub is not None  # noqa: S101 - Asked for by `is_wanted`.
    return config.output.hub


def _api(config: RunConfig) -> Any:
    import huggingface_hub

    return huggingface_hub.HfApi(endpoint=config.hub.endpoint or os.environ.get("HF_ENDPOINT"))


def _in_words(problem: Exception, wanted: HubPush) -> Exception:
    """Why a repository does not take the model; an unknown problem stays what it is."""
    from huggingface_hub import errors

    place = f"output.hub.repo {wanted.repo}"
    known = refusal(problem, place)
    if isinstance(known, RetryLater):
        return known
    if known is not None or isinstance(problem, errors.RepositoryNotFoundError):
        return ConfigurationError(
            "HubPushRefused",
            f"{place}: the Hub does not let this token write there. Put a token with write access to it into the "
            "Secret that hub.secretRef names, or name another repository.",
        )
    if isinstance(problem, errors.HFValidationError | errors.BadRequestError | ValueError):
        said = (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
        return ConfigurationError(
            "HubPushRefused", f"{place} is refused by the Hub: {said}. Correct it; it is owner/name."
        )
    return problem
