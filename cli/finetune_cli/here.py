"""What becomes of a job on this machine: what is left out, what has to be there, and what it cannot keep."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune_operator import names
from finetune_operator.build.attempt import Attempt
from finetune_operator.build.pods import pods
from finetune_operator.cluster.port import POD, Manifest
from finetune_operator.config import Config
from finetune_sandbox.memory_admission import admitted
from finetune_sandbox.nodes import Resources, requested

from finetune_cli.admission import parsed
from finetune_cli.jobs import JobFileError

PLACEMENT = ("nodeSelector", "tolerations", "affinity", "priorityClassName", "schedulerName")
"""What podTemplate says about nodes, of which there is one here."""
TWIN = "-undisturbed"


def adapted(job: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """A filled job as this machine can run it, and a sentence about each thing that is left out."""
    spec = job["spec"]
    template = spec["podTemplate"]
    placed = [name for name in PLACEMENT if template.get(name)]
    said = []
    if placed:
        said.append(f"Placement is left out here: {', '.join(placed)}.")
    if spec["suspend"]:
        said.append("suspend is left out here: a local run begins at once.")
    kept = {name: value for name, value in template.items() if name not in PLACEMENT}
    return job | {"spec": spec | {"podTemplate": kept, "suspend": False}}, tuple(said)


def room(job: Manifest) -> Resources:
    """What the pods of an adapted job ask for, all together."""
    gang = [admitted(POD, pod, {}) for pod in pods(parsed(job), Config(trainer_image="none"), Attempt(number=1))]
    return sum((requested(pod) for pod in gang), Resources({}))


def refuse_too_many_gpus(job: Manifest, devices: tuple[str, ...] | None) -> None:
    """Refuse a job for more GPUs than there are; where there are none at all it trains on the CPU."""
    compute = job["spec"]["compute"]
    asked = compute["nodes"] * compute["gpusPerNode"]
    if devices and asked > len(devices):
        raise JobFileError(
            f"The job asks for {asked} GPUs, and this machine has {len(devices)}. Lower compute.nodes or "
            "compute.gpusPerNode, or train on the CPU with CUDA_VISIBLE_DEVICES= before the command."
        )


def accelerator(job: Manifest, devices: tuple[str, ...] | None) -> str:
    """What DeepSpeed is to train on, by its own name; left alone it asks the machine, not the job."""
    return "cuda" if devices and job["spec"]["compute"]["gpusPerNode"] else "cpu"


def twin(job: Manifest) -> Manifest:
    """The same job under a name of its own."""
    name = job["metadata"]["name"][: names.MAX_JOB_NAME - len(TWIN)].rstrip("-.") + TWIN
    return job | {"metadata": job["metadata"] | {"name": name}}


def refuse_incomparable(job: Manifest) -> None:
    """Refuse to compare a job whose run the sandbox's W&B server will not have."""
    wandb = job["spec"]["wandb"]
    if wandb.get("mode") in {"offline", "disabled"}:
        raise JobFileError(
            f"--compare reads what the W&B server has stored, and wandb.mode is {wandb['mode']}. Leave one of them out."
        )
    if wandb.get("baseUrl"):
        raise JobFileError(
            "--compare reads what the sandbox's W&B server has stored, and wandb.baseUrl names another. "
            "Leave one of them out."
        )


def claims(job: Manifest) -> tuple[str, ...]:
    """The PersistentVolumeClaims that a filled job names, each once."""
    return tuple(dict.fromkeys(_claims(job["spec"])))


def refuse_unkept(job: Manifest) -> None:
    """Refuse a job whose claims would be gone with the run."""
    if unkept := claims(job):
        raise JobFileError(
            f"The job names the claim {unkept[0]}, which would be gone with this run. Give --state DIR: its files are "
            f"then in DIR/{folder_of(unkept[0])}."
        )


def folder_of(claim: str) -> Path:
    """Where the files of a claim are, below the run's folder."""
    return Path("pods", "claims", "default", claim)


def _claims(spec: dict[str, Any]) -> Iterator[str]:
    for keeper in (spec["checkpoint"], spec["output"]):
        if keeper.get("volume"):
            yield keeper["volume"]["claimName"]
    for volume in spec["podTemplate"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield claim["claimName"]
