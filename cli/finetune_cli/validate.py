"""`finetune validate`: what the API server and the operator would say of jobs, without either."""

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Any

from finetune_cli import deep
from finetune_cli.jobs import JobFileError, jobs

HELP = (
    "Say what the API server would refuse, and what is not built yet, and with --deep what would end the job before "
    "its first step; exit status 1 when there is any."
)
COLUMNS = 80
NAMELESS = "a job without a name"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The files, and how far to look."""
    parser.add_argument("files", nargs="+", metavar="JOB.yaml", help="a file with jobs, - for standard input")
    parser.add_argument(
        "--deep", action="store_true", help="load tokenizer, data and the model's configuration, without training"
    )
    parser.add_argument(
        "--mount",
        action="append",
        default=[],
        type=mount,
        metavar="PATH=FOLDER",
        help="where a path of the job's pods is on this machine, for --deep; may be given again",
    )


def mount(text: str) -> tuple[str, Path]:
    """A path of the pods and the folder of this machine that it stands for."""
    path, _, folder = text.partition("=")
    if not (path.startswith("/") and folder):
        raise argparse.ArgumentTypeError(f"{text} is not a mount: write it as /data=FOLDER")
    return path.rstrip("/"), Path(folder).resolve()


def main(options: argparse.Namespace) -> int:
    """Print a verdict for each job."""
    mounts = dict(options.mount) if options.deep else None
    verdicts = [are_valid(file, mounts) for file in options.files]
    return 0 if all(verdicts) else 1


def are_valid(file: str, mounts: dict[str, Path] | None) -> bool:
    """Print a verdict for each job of a file, or why it has none; other files are judged all the same."""
    try:
        found = jobs(file)
    except JobFileError as error:
        sys.stderr.write(f"{error}\n")
        return False
    verdicts = [is_valid(file, job, mounts) for job in found]
    return all(verdicts)


def is_valid(file: str, job: dict[str, Any], mounts: dict[str, Path] | None = None) -> bool:
    """Print what is wrong with a job, or that it is valid; with `mounts` the trainer looks too, if we find nothing."""
    from finetune_cli.admission import admission

    metadata = job.get("metadata")
    name = metadata.get("name", NAMELESS) if isinstance(metadata, dict) else NAMELESS
    found: tuple[object, ...] = admission(job)
    if mounts is not None and not found:
        _say(f"{file}: {name}: reading tokenizer, data and the model's configuration ...", only_to_a_person=True)
        found = _looked_at(job, mounts)
    for violation in found:
        _say(f"{file}: {name}: {violation}")
    if not found:
        _say(f"{file}: {name} is valid.")
    return not found


def _looked_at(job: dict[str, Any], mounts: dict[str, Path]) -> tuple[object, ...]:
    """What the trainer finds, or why it could not look; other jobs are judged all the same."""
    try:
        return deep.findings(job, mounts)
    except JobFileError as error:
        return (error,)


def _say(line: str, *, only_to_a_person: bool = False) -> None:
    """Print a line, folded where a person reads it; a program gets it whole."""
    if sys.stdout.isatty():
        print(textwrap.fill(line, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
        sys.stdout.flush()
    elif not only_to_a_person:
        print(line)
