"""All real parts but the containers: control plane, operator process, trainer, W&B SDK; pods are processes.

A test gets a `Lab`, applies jobs with kubectl, does harm, and reads what users read.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.observe import parsed
from finetune_operator.cluster.port import EVENT, JOB, POD, SECRET, Manifest, Selection
from finetune_operator.names import LABEL_JOB, run_id
from finetune_sandbox import processes, trainers
from finetune_sandbox.comparison import Comparison, Result, result
from finetune_sandbox.control_plane import ControlPlane
from finetune_sandbox.nodes import GPU
from finetune_sandbox.process_node import ProcessNode
from finetune_sandbox.real_api import RealApi
from finetune_sandbox.wandb_server import WandbServer
from finetune_trainer.contract.outcome import Progress
from finetune_trainer.pod.ports import free_port
from finetune_trainer.tracking.history import GLOBAL_STEP

from tests.trainer.running import supervisor

PATIENCE = 150.0
NEVER = datetime.max.replace(tzinfo=UTC)
IMAGE = "finetune-trainer:test"
PASSING = {"Scheduling", "Starting", "Training"}
"""What is told only when a pass falls into it."""
ABSENT_IMAGE = "registry.example/absent:1"


@dataclass(slots=True, kw_only=True)
class Lab:
    """One namespace with a node, an operator and what jobs talk to."""

    plane: ControlPlane
    api: RealApi
    namespace: str
    node: ProcessNode
    wandb: WandbServer
    hub_url: str
    folder: Path
    ranks: Path
    """Where trainers are forked from."""
    operators: list[subprocess.Popen[bytes]] = field(default_factory=list)
    twins: dict[str, Result] = field(default_factory=dict)
    """What jobs that nobody disturbed have left, by their spec."""

    @staticmethod
    def python() -> tuple[str, ...]:
        """The interpreter of everything here."""
        return (sys.executable,)

    def start_operator(self) -> subprocess.Popen[bytes]:
        """Start `python -m finetune_operator` for all namespaces, as a process of its own."""
        environment = {
            **os.environ,
            "FINETUNE_TRAINER_IMAGE": IMAGE,
            "FINETUNE_HUB_ENDPOINT": self.hub_url,
            "FINETUNE_WANDB_BASE_URL": self.wandb.url,
            "FINETUNE_HTTP_PORT": str(free_port()),
            "FINETUNE_LEASE_NAME": "finetune-operator",
        }
        log = self.folder / f"operator-{len(self.operators)}.log"
        arguments = (*self.python(), "-m", "finetune_operator", "--kubeconfig", str(self.plane.kubeconfig))
        self.operators.append(processes.start(arguments, log, environment))
        return self.operators[-1]

    async def keep_key(self, name: str = "wandb", key: str | None = None) -> None:
        """Create the Secret with the W&B key."""
        values = {"WANDB_API_KEY": key or self.wandb.environment()["WANDB_API_KEY"]}
        metadata = {"name": name, "namespace": self.namespace}
        await self.api.create(SECRET, {"metadata": metadata, "stringData": values})

    async def apply(self, manifest: Manifest) -> FineTuneJob:
        """What `kubectl apply -f` does with a job."""
        await self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
        return await self.job(manifest["metadata"]["name"])

    async def job(self, name: str) -> FineTuneJob:
        """The job as it is now."""
        manifest = await self.api.get(JOB, self.namespace, name)
        assert manifest is not None, name
        return parsed(manifest)

    async def pods(self, name: str) -> tuple[Manifest, ...]:
        """The job's pods."""
        return (await self.api.list(Selection(kind=POD, namespace=self.namespace, labels={LABEL_JOB: name}))).items

    async def until(self, name: str, holds: Callable[[FineTuneJob], bool], patience: float = PATIENCE) -> FineTuneJob:
        """The job, as soon as this holds of it; fails with all that is known when it does not in time."""
        deadline = time.monotonic() + patience
        while not holds(job := await self.job(name)):
            assert time.monotonic() < deadline, await self.story(name)
            await asyncio.sleep(0.2)
        return job

    async def ended(self, name: str) -> FineTuneJob:
        """The job, when it has succeeded; fails when it ends otherwise."""
        job = await self.until(name, is_over)
        assert job.status.phase == "Succeeded", await self.story(name)
        return job

    async def trains(self, name: str, attempt: int = 1, step: int = 1) -> FineTuneJob:
        """The job, when the attempt has published a checkpoint at or after the step."""

        def holds(job: FineTuneJob) -> bool:
            here = job.status.checkpoint
            return job.status.attempt == attempt and here is not None and here.step >= step

        return await self.until(name, holds)

    async def reached(self, name: str, step: int, attempt: int = 1) -> None:
        """Wait until the trainer of this attempt has made a step."""
        await self.says(name, lambda word: word.step >= step, attempt)

    async def says(self, name: str, holds: Callable[[Progress], bool], attempt: int = 1) -> Progress:
        """The trainer's word as soon as this holds of it; asked directly, to do harm in time."""
        deadline = time.monotonic() + PATIENCE
        while (word := await self.word(name, attempt)) is None or not holds(word):
            assert time.monotonic() < deadline, await self.story(name)
            await asyncio.sleep(0.02 if word else 0.2)  # It starts for seconds, and then makes forty steps in one.
        return word

    def left(self, job: FineTuneJob) -> Result:
        """What the run of a job has left on the W&B server."""
        return result(self.wandb.records, run_id(job.metadata.uid))

    async def difference(self, done: FineTuneJob, manifest: Manifest) -> str | None:
        """Where a job's run parts from that of a twin which nobody disturbed; None when it does not."""
        spec = json.dumps({**manifest["spec"], "wandb": None}, sort_keys=True)
        if spec not in self.twins:
            twin = {**manifest, "metadata": {"name": "undisturbed"}}
            await self.apply(twin)
            self.twins[spec] = self.left(await self.ended("undisturbed"))
        return Comparison(left=self.left(done), right=self.twins[spec]).first_difference

    def sent(self, run: str, before: datetime = NEVER) -> int:
        """The last step that a run had a row of before a moment; 0 without any row."""
        rows = (row for row in self.wandb.run(run).history if row["_timestamp"] < before.timestamp())
        return max((int(row[GLOBAL_STEP]) for row in rows), default=0)

    async def word(self, name: str, attempt: int = 1) -> Progress | None:
        """What the trainer of this attempt says now."""
        pod = await self.api.get(POD, self.namespace, f"{name}-{attempt}-0")
        return await trainers.progress(pod) if pod else None

    async def reasons(self, name: str) -> list[str]:
        """The reasons of the events about the job, oldest first."""
        found = (await self.api.list(Selection(kind=EVENT, namespace=self.namespace))).items
        mine = [event for event in found if event["involvedObject"].get("name") == name]
        return [event["reason"] for event in sorted(mine, key=lambda e: int(e["metadata"]["resourceVersion"]))]

    async def story(self, name: str) -> str:
        """Everything that helps to understand a failure."""
        job = await self.job(name)
        logs = [path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("operator-*.log"))]
        pods = [
            self.node.logs(self.namespace, pod["metadata"]["name"])[-3000:]
            for pod in await self.pods(name)
            if pod.get("spec", {}).get("nodeName") == self.node.name
        ]
        status = json.dumps(job.status.model_dump(mode="json", exclude_none=True), indent=1)
        return "\n".join([status, *logs, *pods])

    def stop(self) -> None:
        """End the operators."""
        for process in self.operators:
            process.terminate()
        for process in self.operators:
            process.wait(20)
        self.operators.clear()

    @asynccontextmanager
    async def another_node(self, name: str, **how: Any) -> AsyncIterator[ProcessNode]:
        """One more node while the block lasts; it mounts the same claims as the first."""
        common: dict[str, Any] = {"entrypoint": self.entrypoint, "claims": self.folder / "node" / "claims"} | how
        variables = {"DS_ACCELERATOR": "cpu"}
        folder = self.folder / f"{self.namespace}-{name}"
        async with ProcessNode(self.api, name, folder, retry_seconds=0.2, variables=variables, **common) as node:
            yield node

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """The trainer whose ranks are forked from one that has imported what is slow."""
        return supervisor(self.ranks)

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints, in the test's namespace."""
        return await asyncio.to_thread(self.plane.kubectl, *arguments, "-n", self.namespace, stdin=stdin)

    async def edit(self, name: str, **spec: Any) -> None:
        """Change fields of a job's spec, as its author does."""
        await self.kubectl("patch", "ftj", name, "--type", "merge", "-p", json.dumps({"spec": spec}))

    async def goes(self, pod: str) -> None:
        """Wait until a pod is gone."""
        deadline = time.monotonic() + PATIENCE
        while await self.api.get(POD, self.namespace, pod):
            assert time.monotonic() < deadline, f"{pod} is still there."
            await asyncio.sleep(0.05)

    async def runs(self, pod: str) -> None:
        """Wait until a pod runs."""
        deadline = time.monotonic() + PATIENCE
        while (await self.api.get(POD, self.namespace, pod) or {}).get("status", {}).get("phase") != "Running":
            assert time.monotonic() < deadline, f"{pod} does not run."
            await asyncio.sleep(0.05)

    async def story_in_events(self, name: str) -> list[str]:
        """The reasons of a job's events without those that a quick pod may skip."""
        return [reason for reason in await self.reasons(name) if reason not in PASSING]

    async def takes_the_gpu(self) -> str:
        """Create a pod of a higher priority that wants a GPU; its name."""
        container = {
            "name": "important",
            "image": IMAGE,
            "command": ["sleep", "600"],
            "resources": {"limits": {GPU: "1"}, "requests": {GPU: "1", "cpu": "1"}},
        }
        spec = {
            "containers": [container],
            "priorityClassName": "high",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
        }
        metadata = {"name": "important", "namespace": self.namespace}
        await self.api.create(POD, {"metadata": metadata, "spec": spec})
        return "important"


def is_over(job: FineTuneJob) -> bool:
    """Whether the job as it is written now has ended."""
    return job.status.phase in {"Succeeded", "Failed"} and job.status.observed_generation == job.metadata.generation


def job(name: str, **spec: Any) -> Manifest:
    """A short text classification that logs every step; `spec` replaces whole blocks."""
    blocks: Mapping[str, Any] = {
        "task": "text-classification",
        "model": {"uri": "hf://google-bert/bert-base-uncased"},
        "dataset": {
            "uri": "hf://nyu-mll/glue",
            "config": "mrpc",
            "columns": {"text": ["sentence1", "sentence2"], "label": "label"},
            "maxSamples": {"evaluation": 16},
        },
        "training": {
            "max_steps": 60,
            "per_device_train_batch_size": 8,
            "learning_rate": 0.001,
            "logging_steps": 1,
            "eval_strategy": "steps",
            "eval_steps": 10,
        },
        "checkpoint": {"everySteps": 10},
        "compute": {"nodes": 1, "gpusPerNode": 1},
        "restart": {"backoffSeconds": 0},
        "podTemplate": {"terminationGracePeriodSeconds": 30},
        "wandb": {"project": "lab", "secretRef": {"name": "wandb"}},
    }
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {**blocks, **spec},
    }
