"""hf://, a repository of the Hugging Face Hub or of a mirror."""

import contextlib
import re
from pathlib import Path
from typing import Any

from finetune_trainer import hub, weightless
from finetune_trainer.contract.sources import DatasetSource
from finetune_trainer.errors import ConfigurationError

OTHER_FRAMEWORKS = ("*.h5", "*.msgpack", "*.onnx", "*.ot", "*.tflite", "*.gguf", "onnx/*", "coreml/*", "original/*")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
COMMIT = re.compile(r"[0-9a-f]{40}")


def version(uri: str, revision: str | None, what: str) -> str | None:
    """The commit that a branch or tag is at."""
    import huggingface_hub

    if revision is not None and COMMIT.fullmatch(revision):
        return None
    api, name = huggingface_hub.HfApi(), uri.removeprefix("hf://")
    info = api.dataset_info if what.startswith("dataset") else api.model_info
    with contextlib.suppress(Exception):  # Whoever reads the files next says what is wrong, in the author's words.
        commit: str | None = info(name, revision=revision).sha
        return commit
    return None


def at(version: str) -> dict[str, str]:
    """That commit."""
    return {"revision": version}


def shared(uri: str) -> Path | None:
    """Every node asks the Hub."""
    del uri
    return None


def folder(uri: str, revision: str | None, what: str) -> Path:
    """A snapshot of a model, without the weights that only other frameworks read."""
    import huggingface_hub
    from huggingface_hub import errors

    name = uri.removeprefix("hf://")
    try:
        files = {one.rfilename for one in huggingface_hub.HfApi().model_info(name, revision=revision).siblings or ()}
        skipped = OTHER_FRAMEWORKS + (PICKLES if any(one.endswith(".safetensors") for one in files) else ())
        skipped += weightless.WEIGHTS if weightless.is_on() or weightless.checkpoint() else ()
        return Path(huggingface_hub.snapshot_download(name, revision=revision, ignore_patterns=list(skipped)))
    except Exception as problem:
        if (refusal := hub.refusal(problem, uri)) is not None:
            raise refusal from problem
        if isinstance(problem, errors.RevisionNotFoundError):
            raise ConfigurationError(
                "ModelNotFound", f"{uri} has no revision {revision}. Correct {what}.revision."
            ) from problem
        if isinstance(problem, errors.RepositoryNotFoundError | errors.HFValidationError):
            raise ConfigurationError(
                "ModelNotFound",
                f"{uri} is not on the Hub, or is hidden from this token. Correct {what}.uri, or name a Secret with a "
                "token that may read it in hub.secretRef.",
            ) from problem
        raise


def builder(source: DatasetSource, cache: Path) -> Any:
    """The repository's own configuration."""
    import datasets

    name = source.uri.removeprefix("hf://")
    return datasets.load_dataset_builder(name, name=source.config, revision=source.revision, cache_dir=str(cache))
