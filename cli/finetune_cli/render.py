"""`finetune render`: the objects that the operator would create for a job's first attempt."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import yaml
from finetune_operator.api.kubernetes_yaml import Plain
from finetune_operator.build.attempt import Attempt
from finetune_operator.build.config_map import config_map
from finetune_operator.build.pods import pods
from finetune_operator.build.service import service
from finetune_operator.config import Config

from finetune_cli.jobs import jobs

HELP = "Print the ConfigMap, Service and pods of a job's first attempt."
NO_UID = "00000000-0000-0000-0000-000000000000"
"""Stands for the uid that the API server gives."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The file, and what the operator's installation would say."""
    parser.add_argument("file", metavar="JOB.yaml", help="a file with jobs, - for standard input")
    parser.add_argument("--namespace", default="default", help="the namespace of jobs that name none")
    parser.add_argument("--image", default="finetune-trainer", help="the trainer's image for jobs that name none")


def main(options: argparse.Namespace) -> int:
    """Print the objects of every valid job; the exit status is 1 when one is not."""
    from finetune_cli.admission import admission

    status = 0
    for job in jobs(options.file):
        if found := admission(job):
            sys.stderr.writelines(f"{options.file}: {violation}\n" for violation in found)
            status = 1
            continue
        made = yaml.dump_all(objects(job, options), Dumper=Plain, sort_keys=False, explicit_start=True)
        print(made, end="")
    return status


def objects(job: dict[str, Any], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What the first attempt consists of, in the order of creation."""
    from finetune_cli.admission import parsed

    read = parsed(job, namespace=options.namespace, uid=NO_UID, generation=1)
    config = Config(trainer_image=options.image)
    yield config_map(read, config)
    if read.spec.compute.nodes > 1:
        yield service(read)
    yield from pods(read, config, Attempt(number=1))
