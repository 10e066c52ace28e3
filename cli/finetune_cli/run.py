"""`finetune run`: a job on this machine, with the operator's own core, without any cluster."""

import argparse
import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_cli import beside
from finetune_cli.jobs import JobFileError, jobs_and_others

if TYPE_CHECKING:
    from finetune_operator.api.v1alpha1 import FineTuneJob
    from finetune_sandbox.workstation import Workstation

    from finetune_cli.services import Services

HELP = "Run a job on this machine: the same operator core, trainer, restarts and status, without a cluster."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The file, and what should happen to the job."""
    parser.add_argument("file", metavar="JOB.yaml", help="a file with one job, - for standard input")
    parser.add_argument(
        "--sandbox",
        action="store_true",
        help="use a W&B server and a Hub of our own, with tiny models and invented data",
    )
    parser.add_argument("--preempt-at", type=int, metavar="STEP", help="take the pod away once, at this step")
    parser.add_argument(
        "--compare", action="store_true", help="run the job once more undisturbed, and say whether both are identical"
    )
    parser.add_argument(
        "--keep-server", action="store_true", help="let the sandbox's W&B server answer on, at its end, until Ctrl-C"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep logs, runs and artifacts there")


def main(options: argparse.Namespace) -> int:
    """Run the job; exit status 0 when it succeeded and, if asked, was identical to the undisturbed run."""
    found, others = jobs_and_others(options.file)
    if len(found) != 1:
        raise JobFileError(f"{options.file} holds {len(found)} jobs. Give a file with one FineTuneJob.")
    if options.compare and not options.sandbox:
        raise JobFileError("--compare reads what the W&B server has stored. Give --sandbox as well.")
    if options.keep_server and not options.sandbox:
        raise JobFileError("--keep-server keeps the W&B server of the sandbox. Give --sandbox as well.")
    if not _is_valid(options.file, found[0]):
        return 1
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        folder = options.state or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return asyncio.run(_run(found[0], others, folder.resolve(), options))
        except KeyboardInterrupt:
            print("Stopped; the pods of this run have ended.")
            return 130


def _is_valid(file: str, job: dict[str, Any]) -> bool:
    from finetune_cli.admission import admission

    violations = admission(job)
    for violation in violations:
        print(f"{file}: {violation}")
    return not violations


async def _run(
    manifest: dict[str, Any], others: Sequence[dict[str, Any]], folder: Path, options: argparse.Namespace
) -> int:
    from finetune_operator.config import Config
    from finetune_sandbox.workstation import Workstation

    from finetune_cli.services import Services

    spec = manifest["spec"]
    async with AsyncExitStack() as stack:
        services = stack.enter_context(Services(folder, is_sandbox=options.sandbox))
        secrets = services.secrets(spec)
        there = {("Secret", name) for name in secrets} | {(each["kind"], each["metadata"]["name"]) for each in others}
        beside.refuse_absent(options.file, spec, there)
        config = Config(
            trainer_image="finetune-trainer",
            hub_endpoint=services.hub_endpoint,
            wandb_base_url=services.wandb_base_url,
        )
        gpus = spec.get("compute", {}).get("gpusPerNode", 1) * spec.get("compute", {}).get("nodes", 1)
        station = await stack.enter_async_context(
            Workstation(folder / "pods", config, gpus=gpus, variables={"DS_ACCELERATOR": _accelerator()})
        )
        for name, values in secrets.items():
            await station.keep_secret(name, values)
        for each in others:
            await station.keep(each)
        if services.pages:
            print(f"The runs, while this lasts: {services.pages}")
        status = await _carried_out(station, manifest, services, options)
        if options.keep_server:
            await _told_to_stop(f"The runs are at {services.pages} until you press Ctrl-C.")
        return status


async def _carried_out(
    station: "Workstation", manifest: dict[str, Any], services: "Services", options: argparse.Namespace
) -> int:
    """Run the job, and its twin if that is asked for; the exit status."""
    from finetune_cli import report

    disturbed = await _one(station, manifest, options.preempt_at)
    if disturbed.status.finished_at is None or not report.has_succeeded(disturbed):
        report.failure(disturbed, station)
        return 1
    if not options.compare:
        report.summary(disturbed, services.run_page(disturbed))
        return 0
    return await _comparison(station, manifest, disturbed, services)


async def _told_to_stop(meanwhile: str) -> None:
    """Say something, and wait for Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    print(meanwhile, flush=True)
    await stop.wait()


async def _one(station: "Workstation", manifest: dict[str, Any], preempt_at: int | None) -> "FineTuneJob":
    """Run one job to its end, with a progress bar."""
    from finetune_cli.watching import watched

    job = await station.apply(manifest)
    print(f"--- {job.metadata.name}")
    return await watched(station, job.metadata.name, preempt_at)


async def _comparison(
    station: "Workstation", manifest: dict[str, Any], disturbed: "FineTuneJob", services: "Services"
) -> int:
    from finetune_operator.names import run_id
    from finetune_sandbox.comparison import compared

    from finetune_cli import report

    twin = manifest | {"metadata": manifest["metadata"] | {"name": manifest["metadata"]["name"] + "-undisturbed"}}
    undisturbed = await _one(station, twin, None)
    if not report.has_succeeded(undisturbed):
        report.failure(undisturbed, station)
        return 1
    comparison = compared(services.records, run_id(disturbed.metadata.uid), run_id(undisturbed.metadata.uid))
    report.summary(disturbed, services.run_page(disturbed), comparison)
    return 0 if comparison.is_identical else 1


def _accelerator() -> str:
    return os.environ.get("DS_ACCELERATOR", "cuda" if Path("/dev/nvidia0").exists() else "cpu")
