"""`finetune validate`: what the API server and the operator would say of jobs, without either."""

import argparse
from typing import Any

from finetune_cli.jobs import jobs

HELP = "Say offline what the API server would refuse, and what is not built yet; exit status 1 when there is any."
NAMELESS = "a job without a name"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The files."""
    parser.add_argument("files", nargs="+", metavar="JOB.yaml", help="a file with jobs, - for standard input")


def main(options: argparse.Namespace) -> int:
    """Print a verdict for each job."""
    verdicts = [is_valid(file, job) for file in options.files for job in jobs(file)]
    return 0 if all(verdicts) else 1


def is_valid(file: str, job: dict[str, Any]) -> bool:
    """Print what is wrong with a job, or that it is valid."""
    from finetune_cli.admission import admission

    metadata = job.get("metadata")
    name = metadata.get("name", NAMELESS) if isinstance(metadata, dict) else NAMELESS
    found = admission(job)
    for violation in found:
        print(f"{file}: {name}: {violation}")
    if not found:
        print(f"{file}: {name} is valid.")
    return not found
