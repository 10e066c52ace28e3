"""The FineTuneJob, version v1alpha1. Defaults live in these models, hence in the CRD, and nowhere else."""

from typing import Annotated, Any, Literal

from finetune_trainer.contract.distribution import Distributed
from finetune_trainer.contract.evaluation import Evaluation
from finetune_trainer.contract.extensions import Extensions
from finetune_trainer.contract.model import Model
from finetune_trainer.contract.outputs import Output
from finetune_trainer.contract.program import Program
from finetune_trainer.contract.run_config import CheckpointPolicy, Peft, Preference, Task
from finetune_trainer.contract.sources import DatasetSource, ModelSource, TokenizerSource
from finetune_trainer.contract.tracking import HubSettings, WandbSettings
from finetune_trainer.contract.training_arguments import TrainingArguments
from pydantic import ConfigDict, Field

from finetune_operator.api import pod_parts
from finetune_operator.api.status import FineTuneJobStatus

Toleration = Annotated[dict[str, Any], pod_parts.Shape(pod_parts.Toleration)]
EnvVar = Annotated[dict[str, Any], pod_parts.Shape(pod_parts.EnvVar)]
Volume = Annotated[dict[str, Any], pod_parts.Shape(pod_parts.Volume)]
VolumeMount = Annotated[dict[str, Any], pod_parts.Shape(pod_parts.VolumeMount)]
Resources = Annotated[dict[str, Any], pod_parts.Shape(pod_parts.Resources)]

LONGEST = 2**31 - 1
"""Seconds, 68 years: what Kubernetes' own resources hold in 32 bits, and no point in time that lies too far ahead."""
MOST_NODES = 4096
"""Pods of a gang: one job must not be able to fill the operator's memory."""


class SecretKeyReference(Model):
    """A key of a Secret in the job's namespace."""

    name: str = Field(min_length=1)
    """The Secret's name."""
    key: str
    """The key in the Secret."""


class WandbSecretReference(SecretKeyReference):
    """The Secret with the W&B API key."""

    key: str = "WANDB_API_KEY"
    """The key in the Secret."""
    extra_keys: tuple[str, ...] = ()
    """Further WANDB_ variables to take from the Secret, by key; what the spec says comes before them."""


class HubSecretReference(SecretKeyReference):
    """The Secret with the Hub token."""

    key: str = "HF_TOKEN"
    """The key in the Secret."""


class Wandb(WandbSettings):
    """The W&B run and the key to it."""

    secret_ref: WandbSecretReference | None = None
    """The Secret with the API key; needed unless mode is offline or disabled."""


class Hub(HubSettings):
    """The Hugging Face Hub and the token for it."""

    secret_ref: HubSecretReference | None = None
    """The Secret with the token, for gated and private repositories."""


class Compute(Model):
    """What an attempt asks of the cluster."""

    nodes: int = Field(default=1, ge=1, le=MOST_NODES)
    """The number of pods; all of them live and die together."""
    gpus_per_node: int = Field(default=1, ge=0)
    """The GPUs of each pod, one process for each; 0 trains on the CPU."""
    gpu_resource: str = "nvidia.com/gpu"
    """The name under which nodes advertise GPUs."""
    cpus_per_node: int | None = Field(default=None, ge=1)
    """The CPUs each pod requests; its processes share them as OMP threads."""
    memory_per_node: str | None = Field(default=None, pattern=pod_parts.QUANTITY)
    """The memory each pod requests and is limited to, for example 64Gi."""
    min_nodes: int | None = Field(default=None, ge=1)
    """The fewest pods with which to go on when the cluster has no room for all."""


class Restart(Model):
    """How often, and how soon, the job is started again."""

    max_preemptions: int | None = Field(default=None, ge=0)
    """How many preemptions are borne; without limit when absent."""
    max_infrastructure: int = Field(default=10, ge=0)
    """How many failures of nodes, images and services are borne without progress in between."""
    max_failures: int = Field(default=3, ge=0)
    """How many failures of the program are borne without progress in between."""
    backoff_seconds: int = Field(default=10, ge=0, le=LONGEST)
    """The first pause before a restart after a failure; each further one is twice as long."""
    max_backoff_seconds: int = Field(default=600, ge=1, le=LONGEST)
    """The longest pause."""
    hang_timeout_seconds: int = Field(default=1800, ge=30, le=LONGEST)
    """How long no step may take before the attempt counts as hung."""


class PodTemplate(Model):
    """What may be said about the pods; anything else in a pod is ours."""

    labels: dict[str, str] = {}
    """Further labels."""
    annotations: dict[str, str] = {}
    """Further annotations."""
    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=64)
    """Taints that are tolerated."""
    affinity: dict[str, Any] = {}
    """Affinity rules."""
    priority_class_name: str | None = None
    """The priority class."""
    runtime_class_name: str | None = None
    """The runtime class."""
    scheduler_name: str | None = None
    """The scheduler."""
    image_pull_secrets: tuple[str, ...] = Field(default=(), max_length=16)
    """Names of Secrets with registry credentials."""
    env: tuple[EnvVar, ...] = Field(default=(), max_length=128)
    """Further variables; ours come before them."""
    volumes: tuple[Volume, ...] = Field(default=(), max_length=32)
    """Further volumes: configMap, secret, emptyDir, persistentVolumeClaim, projected, csi, ephemeral or image."""
    volume_mounts: tuple[VolumeMount, ...] = Field(default=(), max_length=64)
    """Where they are mounted."""
    resources: Resources = {}
    """Further requests and limits; the GPUs come from compute."""
    termination_grace_period_seconds: int = Field(default=60, ge=1, le=LONGEST)
    """The seconds between SIGTERM and SIGKILL, in which the last checkpoint is saved and published."""


class FineTuneJobSpec(Model):
    """What to train, with what, and how to go on when the cluster takes it away."""

    task: Task | None = None
    """The task, by the Hub's pipeline name; needed unless the job brings a program."""
    model: ModelSource | None = None
    """The model to start from; needed unless the job brings a program."""
    dataset: DatasetSource | None = None
    """The data; needed unless the job brings a program."""
    program: Program | None = None
    """The author's own program, in the place of task, model and dataset."""
    tokenizer: TokenizerSource = TokenizerSource()
    """The tokenizer, where it differs from the model's own, and how text is cut."""
    training: TrainingArguments = TrainingArguments()
    """transformers.TrainingArguments, by their own names."""
    global_batch_size: int | None = Field(default=None, ge=1)
    """Examples per optimizer step over all processes; the accumulation steps follow from it."""
    peft: Peft | None = None
    """Parameter-efficient fine-tuning."""
    preference: Preference | None = None
    """How a preference is learned."""
    distributed: Distributed = Distributed()
    """How several processes share the work."""
    compute: Compute = Compute()
    """What an attempt asks of the cluster."""
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    """How recovery checkpoints are taken and kept."""
    restart: Restart = Restart()
    """How often, and how soon, the job is started again."""
    evaluation: Evaluation = Evaluation()
    """What is measured beside the loss."""
    extensions: Extensions = Extensions()
    """The author's own callbacks, metrics, collator, optimizer and loss."""
    output: Output = Output()
    """Where the final model goes, beside the W&B artifact."""
    wandb: Wandb = Wandb()
    """The W&B run and the key to it."""
    hub: Hub = Hub()
    """The Hugging Face Hub and the token for it."""
    pod_template: PodTemplate = PodTemplate()
    """What may be said about the pods."""
    image: str | None = None
    """The trainer's image; the operator's default when absent."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""
    queue_name: str | None = None
    """The Kueue LocalQueue that admits the job."""
    suspend: bool = False
    """Whether the job gives its GPUs back, after a checkpoint, until this is false again."""
    active_deadline_seconds: int | None = Field(default=None, ge=1, le=LONGEST)
    """The seconds the job may take in all, waiting included, before it fails; after a suspension they begin anew."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=LONGEST)
    """The seconds after which a finished job's pods, ConfigMap and Service go; the job itself stays."""


class ObjectMeta(Model):
    """What we read of a job's metadata."""

    model_config = ConfigDict(extra="ignore")

    name: str
    namespace: str
    uid: str
    generation: int = 1
    resource_version: str | None = None
    deletion_timestamp: str | None = None
    creation_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class FineTuneJob(Model):
    """A fine-tuning job that survives preemption."""

    model_config = ConfigDict(extra="ignore")

    metadata: ObjectMeta
    spec: FineTuneJobSpec
    status: FineTuneJobStatus = FineTuneJobStatus()
