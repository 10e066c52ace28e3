"""When objects come into being and end, by the arrival of watch events on one clock, in a process of its own.

As a program, `python -m bench.arrivals KUBECONFIG NAMESPACE` prints a JSON line for each event of a pod or a job.
CLOCK_MONOTONIC is one clock for all processes of a machine, so the lines compare with `time.monotonic()` elsewhere.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_operator import names
from finetune_operator.cluster.port import JOB, POD, Kind, Manifest, Selection, Unavailable
from finetune_sandbox.node_api import is_terminal
from finetune_sandbox.real_api import RealApi, real_api

BATCH_JOB = Kind(group="batch", version="v1", plural="jobs", kind="Job")
PATIENCE = 240.0
LOOK_SECONDS = 5.0

Gang = tuple[str, int]
"""A job's name and an attempt."""


@dataclass(slots=True, kw_only=True)
class Arrivals:
    """What has been seen so far."""

    created: dict[Gang, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """When each pod of a gang was first seen."""
    running: dict[Gang, set[str]] = field(default_factory=lambda: defaultdict(set))
    ended: dict[Gang, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """When each pod of a gang was first seen to have ended, or to be gone."""
    phases: dict[str, str] = field(default_factory=dict)
    """The phase of each job."""
    progress_writes: int = 0
    """How many writes to a FineTuneJob have changed nothing but how far it is."""
    ailment: Callable[[], str | None] = lambda: None
    """A sentence, when nothing will arrive any more."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, told: dict[str, Any]) -> None:
        """Take in one event."""
        if "jobPhase" in told:
            self.phases[told["job"]] = told["jobPhase"]
            self.progress_writes += told["isProgress"]
            self._news.set()
            return
        gang, pod, at = (told["job"], told["attempt"]), told["pod"], told["at"]
        self.created[gang].setdefault(pod, at)
        if told["phase"] == "Running":
            self.running[gang].add(pod)
        if told["ended"]:
            self.ended[gang].setdefault(pod, at)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until this holds of what has been seen."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                if sentence := self.ailment():
                    raise RuntimeError(sentence)
                self._news.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), LOOK_SECONDS)

    def is_created(self, gang: Gang, size: int) -> bool:
        """Whether all pods of a gang have been seen."""
        return len(self.created[gang]) >= size

    def is_running(self, gang: Gang, size: int) -> bool:
        """Whether all pods of a gang run."""
        return len(self.running[gang]) >= size


@asynccontextmanager
async def arrivals(kubeconfig: Path, namespace: str) -> AsyncIterator[Arrivals]:
    """What arrives in a namespace, while the block lasts."""
    seen = Arrivals()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.arrivals", str(kubeconfig), namespace, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    output = process.stdout
    await output.readline()  # It watches now.

    async def read() -> None:
        async for line in output:
            seen.take(json.loads(line))

    reading = asyncio.create_task(read())
    try:
        yield seen
    finally:
        process.terminate()
        await process.wait()
        await reading


def of_pod(change: str, pod: Manifest) -> dict[str, Any]:
    """What is told of a pod."""
    labels = pod["metadata"].get("labels", {})
    return {
        "job": labels.get(names.LABEL_JOB) or labels.get("batch.kubernetes.io/job-name", ""),
        "attempt": int(labels.get(names.LABEL_ATTEMPT, 1)),
        "pod": pod["metadata"]["name"],
        "phase": pod.get("status", {}).get("phase"),
        "ended": change == "DELETED" or is_terminal(pod),
    }


class Jobs:
    """What is told of FineTuneJobs."""

    def __init__(self) -> None:
        self._known: dict[str, Manifest] = {}

    def __call__(self, change: str, job: Manifest) -> dict[str, Any]:
        """The phase, and whether only the progress has changed."""
        name, status = job["metadata"]["name"], job.get("status", {})
        lasting = {field: value for field, value in status.items() if field not in {"progress", "goodput"}}
        is_progress = change == "MODIFIED" and lasting == self._known.get(name)
        self._known[name] = lasting
        return {"job": name, "jobPhase": status.get("phase", "Pending"), "isProgress": is_progress}


def of_batch_job(_change: str, job: Manifest) -> dict[str, Any]:
    """What is told of a Job."""
    status = job.get("status", {})
    conditions = status.get("conditions") or []
    is_complete = any(each["type"] == "Complete" and each["status"] == "True" for each in conditions)
    phase = "Succeeded" if is_complete else "Running" if status.get("ready") else "Pending"
    return {"job": job["metadata"]["name"], "jobPhase": phase, "isProgress": False}


async def tell(api: RealApi, selection: Selection, told: Callable[[str, Manifest], dict[str, Any]]) -> None:
    """Print the events of one kind."""
    version = (await api.list(selection)).resource_version
    while True:
        # The watch of a definition that was just made is refused for a moment.
        with suppress(Unavailable):
            async for change in api.watch(selection, version):
                at = time.monotonic()
                version = change.object["metadata"]["resourceVersion"]
                if change.type != "BOOKMARK":
                    print(json.dumps({"at": at} | told(change.type, change.object)), flush=True)
        await asyncio.sleep(0.1)


async def main(kubeconfig: Path, namespace: str) -> None:
    """Print the events of pods and jobs, until killed."""
    async with real_api(kubeconfig) as api, asyncio.TaskGroup() as group:
        for kind, told in ((POD, of_pod), (JOB, Jobs()), (BATCH_JOB, of_batch_job)):
            group.create_task(tell(api, Selection(kind=kind, namespace=namespace), told))
        # The lists take milliseconds, the first object comes later.
        await asyncio.sleep(1)
        print("{}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
