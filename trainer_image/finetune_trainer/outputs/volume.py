"""A folder of a volume with the final model, for whoever mounts it next."""

import contextlib
import shutil
import time
from pathlib import Path

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError, RetryLater
from finetune_trainer.files import NOT_A_MODEL, is_full, size_of, sync_to_disk
from finetune_trainer.outputs.output import Final
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.recovery.manifest import entries, first_difference

MODEL = "model"
"""The folder in the volume; another job reads it as file://."""
INCOMING = ".incoming-*"
MAKE_ROOM = "Enlarge its claim, or remove what nobody needs."
PROBE_BYTES = 1 << 20
"""What is written before training; no model is smaller."""


def is_wanted(config: RunConfig) -> bool:
    """Whether the job names a volume."""
    return config.output.volume is not None


def check(config: RunConfig, here: Surroundings) -> None:
    """Write into the volume before training, rather than find it read-only or full after."""
    del config
    place = _mounted(here)
    _remove(place, INCOMING)  # What a delivery that was killed has left may be what fills the volume.
    probe = place / f".probe-{time.time_ns()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(PROBE_BYTES))
        sync_to_disk(probe)
    except OSError as problem:
        if is_full(problem):
            raise ConfigurationError("OutputVolumeFull", f"output.volume is full. {MAKE_ROOM}") from problem
        raise ConfigurationError(
            "OutputVolumeNotWritable",
            f"output.volume cannot be written to: {problem.strerror or problem}. Name a claim that is mounted "
            "read-write.",
        ) from problem
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def check_room(here: Surroundings, size: int) -> None:
    """Refuse a volume that has less room than the model's `size` in bytes; the model that it replaces goes after."""
    room = shutil.disk_usage(_mounted(here))
    needed = (size >> 20) + 1
    if room.total and room.free < size:  # Some file systems of object stores say 0 of 0.
        raise ConfigurationError(
            "OutputVolumeFull",
            f"output.volume has room for {room.free >> 20} MiB, and the model takes {needed} MiB. {MAKE_ROOM}",
        )


def deliver(final: Final) -> None:
    """Copy the model beside, compare, bring it to disk, and give it its name."""
    place = _mounted(final.here)
    fresh, old = place / f".incoming-{time.time_ns()}", place / f".old-{time.time_ns()}"
    target = place / MODEL
    try:
        shutil.copytree(final.folder, fresh, ignore=shutil.ignore_patterns(*NOT_A_MODEL))
        _compare(final.folder, fresh)
        for path in (*fresh.rglob("*"), fresh):
            sync_to_disk(path)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
        sync_to_disk(place)
    except OSError as problem:
        if is_full(problem):
            size = size_of(final.folder)
            raise ConfigurationError(
                "OutputVolumeFull",
                f"output.volume has no room for the {(size >> 20) + 1} MiB of the model. {MAKE_ROOM} Training is "
                "done; tried again, the job goes on from its newest checkpoint.",
            ) from problem
        raise RetryLater(
            "OutputVolumeFailed",
            f"The model could not be written to output.volume: {problem.strerror or problem}. Training is done; it is "
            "tried again. See that the volume has room.",
        ) from problem
    finally:
        _remove(place, INCOMING, ".old-*")


def _remove(place: Path, *patterns: str) -> None:
    for left in (path for pattern in patterns for path in place.glob(pattern)):
        shutil.rmtree(left, ignore_errors=True)


def _compare(original: Path, copy: Path) -> None:
    copied, written = entries(copy), entries(original)
    if wrong := first_difference({name: written[name] for name in copied}, copied):
        raise OSError(f"the copy is not whole: {wrong}")


def _mounted(here: Surroundings) -> Path:
    if here.output_volume is None:
        raise ConfigurationError(
            "OutputVolumeMissing", "output.volume is not mounted in the trainer's pod. Update the operator."
        )
    return here.output_volume
