"""A folder of a bucket with the final model, s3:// or gs://.

A bucket cannot rename, so a list of the files says what is whole: it is written first as incomplete and last as
complete, and a job that reads the model from there believes no other.
"""

from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from finetune_trainer import buckets
from finetune_trainer.buckets import DELIVERY, Delivery
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError, RetryLater
from finetune_trainer.files import NOT_A_MODEL
from finetune_trainer.outputs.output import Final
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.recovery.manifest import entries

FIELD = "output.uri"
AT_ONCE = 8


def is_wanted(config: RunConfig) -> bool:
    """Whether the job names a bucket."""
    return config.output.uri is not None


def check(config: RunConfig, here: Surroundings) -> None:
    """Write the list of files as it stands, rather than find out after training that nothing can be written."""
    del here
    place = _place(config)
    _refuse_own_source(config, place)
    there = place.delivery()
    if there is None and place.objects():
        raise ConfigurationError(
            "OutputFolderTaken",
            f"output.uri: {place.uri} holds files that no job delivered. Name an empty folder, or empty this one.",
        )
    _say(place, there or Delivery(complete=False, job=config.job.uid))


def deliver(final: Final) -> None:
    """Bring the model there; a store that is away is no reason to train again."""
    try:
        _deliver(final)
    except RetryLater as problem:
        raise RetryLater(problem.reason, f"Training is done. {problem.message}") from problem


def _deliver(final: Final) -> None:
    """Say that the model is coming, send it, take away what a former one left, then say that it is whole."""
    place, job = _place(final.config), final.config.job.uid
    files = {name: one.sha256 for name, one in entries(final.folder).items() if not _is_left_out(name)}
    whole = Delivery(complete=True, job=job, files=files)
    former = place.delivery() or Delivery(complete=False, job=job)
    if former == whole:
        return
    # Whatever may be there by now, so that another attempt knows what to take away.
    _say(place, Delivery(complete=False, job=job, files={**former.files, **files}))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: place.write(name, final.folder / name), files))
    for name in (one.name for one in place.objects()):
        if name in former.files and name not in files:
            place.remove(name)
    _say(place, whole)


def _place(config: RunConfig) -> buckets.Folder:
    assert config.output.uri is not None  # noqa: S101 - Asked for by `is_wanted`.
    return buckets.folder(config.output.uri, FIELD)


def _say(place: buckets.Folder, delivery: Delivery) -> None:
    place.write(DELIVERY, delivery.model_dump_json(indent=2).encode())


def _is_left_out(name: str) -> bool:
    return any(fnmatch(part, pattern) for part in Path(name).parts for pattern in NOT_A_MODEL)


def _refuse_own_source(config: RunConfig, place: buckets.Folder) -> None:
    read = (config.model.uri, config.tokenizer.uri, config.dataset.uri, *(one.uri for one in config.dataset.mix))
    if any(uri and f"{uri.rstrip('/')}/".startswith(f"{place.uri.rstrip('/')}/") for uri in read):
        raise ConfigurationError(
            "OutputIsSource", f"output.uri: the job itself reads from {place.uri}. Name another folder."
        )
