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
    parser.add_argument("--preempt-at", type=step, metavar="STEP", help="take the pod away once, at this step")
    parser.add_argument(
        "--compare", action="store_true", help="run the job once more undisturbed, and say whether both are identical"
    )
    parser.add_argument(
        "--keep-server", action="store_true", help="let the sandbox's W&B server answer on, at its end, until Ctrl-C"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep logs, runs and artifacts there")


def step(text: str) -> int:
    """A step of training."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no step: write a whole number from 1 on")
    return int(text)


def main(options: argparse.Namespace) -> int:
    """Run the job; exit status 0 when it succeeded and, if asked, was preempted, and identical to its twin."""
    found, others = jobs_and_others(options.file)
    if len(found) != 1:
        raise JobFileError(f"{options.file} holds {len(found)} jobs. Give a file with one FineTuneJob.")
    if options.compare and not options.sandbox:
        raise JobFileError("--compare reads what the W&B server has stored. Give --sandbox as well.")
    if options.keep_server and not options.sandbox:
        raise JobFileError("--keep-server keeps the W&B server of the sandbox. Give --sandbox as well.")
    if not _is_valid(options.file, found[0]):
        return 1
    job = _possible(found[0], options)
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        folder = _private(options.state or Path(scratch))
        try:
            return asyncio.run(_run(job, others, folder, options))
        except (KeyboardInterrupt, asyncio.CancelledError) as stop:
            print("Stopped; the pods of this run have ended.")
            return 128 + (signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM)


def _private(folder: Path) -> Path:
    """The folder, made for this user alone: Secrets lie in it while pods run."""
    try:
        for each in (folder, folder / "pods", folder / "wandb"):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JobFileError(f"--state {folder} cannot be used: {error.strerror}. Name a folder of yours.") from error
    return folder.resolve()


def _possible(manifest: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The job as this machine can run it. Raises `JobFileError` when it cannot do what is asked."""
    from finetune_sandbox import devices

    from finetune_cli import here
    from finetune_cli.admission import filled

    job, said = here.adapted(filled(manifest))
    here.refuse_too_many_gpus(job, devices.visible())
    if options.compare:
        here.refuse_incomparable(job)
    if not options.state and not options.sandbox:
        here.refuse_unkept(job)
    for sentence in said:
        print(sentence)
    return job


def _is_valid(file: str, job: dict[str, Any]) -> bool:
    from finetune_cli.admission import admission

    violations = admission(job)
    for violation in violations:
        print(f"{file}: {violation}")
    return not violations


async def _run(
    manifest: dict[str, Any], others: Sequence[dict[str, Any]], folder: Path, options: argparse.Namespace
) -> int:
    from finetune_sandbox.workstation import Broken

    from finetune_cli.services import Services

    _stop_like_ctrl_c()
    services = Services(folder, is_sandbox=options.sandbox)
    objects = beside.completed(options.file, manifest["spec"], beside.objects(options.file, others), services)
    beside.refuse_absent(options.file, manifest["spec"], objects)
    async with AsyncExitStack() as stack:
        stack.enter_context(services)
        station = await stack.enter_async_context(_station(manifest, folder, services))
        for each in objects.values():
            await station.keep(each)
        if services.pages:
            print(f"The runs, while this lasts: {services.pages}")
        try:
            status = await station.during(_carried_out(station, manifest, services, options))
        except Broken as broken:
            raise JobFileError(str(broken)) from broken
        _say_where_claims_are(manifest, options.state)
        if options.keep_server:
            await _told_to_stop(f"The runs are at {services.pages} until you press Ctrl-C.")
        return status


def _station(manifest: dict[str, Any], folder: Path, services: "Services") -> "Workstation":
    from finetune_operator.config import Config
    from finetune_sandbox.devices import Devices, visible
    from finetune_sandbox.workstation import Workstation

    from finetune_cli import here

    config = Config(
        trainer_image="finetune-trainer", hub_endpoint=services.hub_endpoint, wandb_base_url=services.wandb_base_url
    )
    gpus = visible()
    accelerator = os.environ.get("DS_ACCELERATOR") or here.accelerator(manifest, gpus)
    return Workstation(
        folder / "pods",
        config,
        room=here.room(manifest),
        devices=Devices(gpus, manifest["spec"]["compute"]["gpuResource"]),
        variables={"DS_ACCELERATOR": accelerator},
    )


def _stop_like_ctrl_c() -> None:
    """Have SIGTERM and a closed terminal end the run in order too, unless they are ignored, as by nohup."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (asyncio.run has made one)
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(each, task.cancel)


def _say_where_claims_are(manifest: dict[str, Any], state: Path | None) -> None:
    from finetune_cli import here

    for claim in here.claims(manifest):
        if state:
            print(f"The files of the claim {claim} are in {state / here.folder_of(claim)}.")
        else:
            print(f"The files of the claim {claim} go with this run. Give --state DIR to keep them.")


async def _carried_out(
    station: "Workstation", manifest: dict[str, Any], services: "Services", options: argparse.Namespace
) -> int:
    """Run the job, and its twin if that is asked for; the exit status."""
    from finetune_cli import report

    disturbed = await _one(station, manifest, options.preempt_at)
    if disturbed.status.finished_at is None or not report.has_succeeded(disturbed):
        report.failure(disturbed, station)
        return 1
    if options.preempt_at and not disturbed.status.restarts.preemptions:
        print(report.undisturbed(disturbed, options.preempt_at))
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

    from finetune_cli import here, report

    undisturbed = await _one(station, here.twin(manifest), None)
    if not report.has_succeeded(undisturbed):
        report.failure(undisturbed, station)
        return 1
    comparison = compared(services.records, run_id(disturbed.metadata.uid), run_id(undisturbed.metadata.uid))
    report.summary(disturbed, services.run_page(disturbed), comparison)
    return 0 if comparison.is_identical else 1
