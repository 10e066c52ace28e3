"""A namespace on the real node, its jobs as kubectl shows them, and the harm that is done to them."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from finetune_operator.api.v1alpha1 import FineTuneJob
from finetune_operator.cluster.observe import parsed
from finetune_operator.cluster.port import Manifest
from finetune_operator.names import LABEL_JOB, run_id
from finetune_sandbox import trainers
from finetune_sandbox.comparison import Comparison, Result, result
from finetune_sandbox.node.images import PAUSE
from finetune_sandbox.node.node import Node
from finetune_sandbox.nodes import GPU
from finetune_sandbox.wandb_server import WandbServer
from finetune_trainer.contract.outcome import Progress

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 300.0
ENDS = {"Succeeded", "Failed"}
PASSING = {"Scheduling", "Starting", "Training"}
"""What is told only when a pass falls into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One namespace, whose pods must be of the strictest kind."""

    node: Node
    wandb: WandbServer
    namespace: str
    twins: dict[str, Result]
    """What jobs that nobody disturbed have left, by their spec."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints in this namespace."""
        return self.node.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def apply(self, manifest: Manifest) -> str:
        """Apply a manifest; the name of its object."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
        return str(manifest["metadata"]["name"])

    def job(self, name: str) -> FineTuneJob:
        """The job as it is now."""
        return parsed(json.loads(self.kubectl("get", "ftj", name, "-o", "json")))

    def pods(self, name: str) -> list[Manifest]:
        """The job's pods."""
        found: list[Manifest] = json.loads(self.kubectl("get", "pods", "-l", f"{LABEL_JOB}={name}", "-o", "json"))[
            "items"
        ]
        return found

    def until(self, name: str, holds: Callable[[FineTuneJob], bool]) -> FineTuneJob:
        """The job, as soon as this holds of it; fails with all that is known when it does not in time."""
        deadline = time.monotonic() + PATIENCE
        while not holds(job := self.job(name)):
            assert time.monotonic() < deadline, self.story(name)
            time.sleep(0.2)
        return job

    def completed(self, name: str) -> FineTuneJob:
        """The job, when it is complete; waits as a script does."""
        self.until(name, lambda job: job.status.phase in ENDS)
        assert self.job(name).status.phase == "Succeeded", self.story(name)
        self.kubectl("wait", "--for=condition=Complete", f"ftj/{name}", "--timeout=10s")
        return self.job(name)

    def reached(self, name: str, step: int, attempt: int = 1) -> None:
        """Wait until the trainer of this attempt has made a step; asked directly, to do harm in time."""
        deadline = time.monotonic() + PATIENCE
        while (word := self._word(f"{name}-{attempt}-0")) is None or word.step < step:
            assert time.monotonic() < deadline, self.story(name)
            time.sleep(0.05)

    def until_gone(self, pod: str) -> None:
        """Wait until a pod has been removed."""
        self.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=120s")

    def reasons(self, name: str) -> list[str]:
        """The reasons of the events about a job, oldest first, without those that a quick pod may skip."""
        found = json.loads(self.kubectl("get", "events", "-o", "json"))["items"]
        mine = [each for each in found if each["involvedObject"].get("name") == name]
        in_order = sorted(mine, key=lambda each: int(each["metadata"]["resourceVersion"]))
        return [each["reason"] for each in in_order if each["reason"] not in PASSING]

    def left(self, name: str) -> Result:
        """What a job's run has left on the W&B server."""
        return result(self.wandb.records, run_id(self.job(name).metadata.uid))

    def difference(self, name: str, manifest: Manifest) -> str | None:
        """Where a job's run parts from that of a twin which nobody disturbs; None when it does not."""
        spec = json.dumps(manifest["spec"], sort_keys=True)
        if spec not in self.twins:
            twin = self.apply({**manifest, "metadata": {"name": f"{name}-twin"}})
            assert self.completed(twin).status.attempt == 1, self.story(twin)
            self.twins[spec] = self.left(twin)
        return Comparison(left=self.left(name), right=self.twins[spec]).first_difference

    def evict(self, pod: str) -> None:
        """What `kubectl drain` does with a pod."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        metadata = {"name": pod, "namespace": self.namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))

    def takes_the_gpu(self) -> str:
        """Create a pod of a higher priority that wants a GPU; its name."""
        amounts: dict[str, Any] = {GPU: "1"}
        container = {
            "name": "important",
            "image": self.node.image(PAUSE),
            "resources": {"limits": amounts},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "priorityClassName": "high",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        }
        return self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "important"}, "spec": spec})

    def story(self, name: str) -> str:
        """Everything that helps to understand a failure."""
        logs = [
            self.kubectl("logs", pod["metadata"]["name"], "--tail=40")
            for pod in self.pods(name)
            if pod["status"]["phase"] != "Pending"
        ]
        pods = self.kubectl("get", "pods", "-o", "wide")
        return "\n".join([self.kubectl("describe", "ftj", name), pods, *logs])

    def _word(self, pod: str) -> Progress | None:
        address = self.kubectl("get", "pod", pod, "--ignore-not-found", "-o", "jsonpath={.status.podIP}")
        return asyncio.run(trainers.progress({"status": {"podIP": address}}))


def example(name: str, **spec: Any) -> Manifest:
    """A job of `examples/`; `spec` replaces whole blocks."""
    manifest: Manifest = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return {**manifest, "spec": {**manifest["spec"], **spec}}
