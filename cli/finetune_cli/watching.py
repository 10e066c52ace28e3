"""Watches a job to its end: a progress bar, a line for each event, and a preemption on purpose."""

import asyncio

from finetune_operator.api.conditions import ConditionStatus, ConditionType
from finetune_operator.api.status import Phase
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.port import Manifest
from finetune_sandbox import trainers
from finetune_sandbox.workstation import Workstation
from finetune_trainer.contract.outcome import Progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

LOOK_SECONDS = 0.1
NOBODY_MENDS = {
    "ContainerMisconfigured",
    "ContainerNotCreated",
    "CreationRefused",
    "SecretKeyNotFound",
    "SecretNotFound",
}
"""What a job waits for in a cluster whose owner may come to its help; here nobody can."""


def is_over(job: FineTuneJob) -> bool:
    """Whether nothing more will happen by itself."""
    conditions = job.status.conditions
    stalled = any(c.type is ConditionType.STALLED and c.status is ConditionStatus.TRUE for c in conditions)
    waits = any(c.type is ConditionType.READY and c.reason in NOBODY_MENDS for c in conditions)
    return stalled or waits or job.status.phase in {Phase.SUCCEEDED, Phase.FAILED}


async def watched(station: Workstation, name: str, preempt_at: int | None) -> FineTuneJob:
    """Wait for the job's end; take its pod away once at a step, when one is given."""
    console = Console()
    columns = (TextColumn("{task.description:<11}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console) as bar:
        line = bar.add_task("Pending", total=None)
        said = 0
        while True:
            job = await station.job(name)
            word = await progress(station, job)
            bar.update(line, description=str(job.status.phase or Phase.PENDING))
            if word:
                bar.update(line, completed=word.step, total=word.max_steps)
            if preempt_at is not None and word and preempt_at <= word.step < (word.max_steps or 0):
                await station.evict(name)
                preempt_at = None
            events = await station.events(name)
            for event in events[said:]:
                console.print(sentence(event), markup=False, emoji=False, highlight=False, soft_wrap=True)
            said = len(events)
            if is_over(job):
                step = job.status.progress.step if job.status.progress else 0
                bar.update(line, completed=step, description=str(job.status.phase))
                return job
            await asyncio.sleep(LOOK_SECONDS)


def sentence(event: Manifest) -> str:
    """An event in one line."""
    return f"{event['reason']}: {event['message']}"


async def progress(station: Workstation, job: FineTuneJob) -> Progress | None:
    """What rank 0 of the current attempt says now; None while it does not answer."""
    first = f"{job.metadata.name}-{job.status.attempt}-0"
    for pod in await station.pods():
        if pod["metadata"]["name"] == first and job.status.phase in {Phase.STARTING, Phase.RUNNING}:
            return await trainers.progress(pod)
    return None
