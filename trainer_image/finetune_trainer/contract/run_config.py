"""What to train: the blocks of a job that the trainer reads, and `RunConfig`, the file it reads them from.

The operator's resource embeds these models, so what the API server accepts, the trainer accepts. Defaults live here
and nowhere else. A block that is declared but not built yet is refused by `operator` and `validate`, with a sentence.
"""

from typing import Literal

from pydantic import Field

from finetune_trainer.contract.distribution import Distributed
from finetune_trainer.contract.evaluation import Evaluation
from finetune_trainer.contract.extensions import Extensions
from finetune_trainer.contract.model import Model
from finetune_trainer.contract.outputs import Output, VolumeReference
from finetune_trainer.contract.sources import DatasetSource, ModelSource, TokenizerSource
from finetune_trainer.contract.tracking import HubSettings, WandbSettings
from finetune_trainer.contract.training_arguments import TrainingArguments

Task = Literal[
    "text-classification",
    "token-classification",
    "question-answering",
    "fill-mask",
    "text-generation",
    "summarization",
    "translation",
    "multiple-choice",
    "image-classification",
    "conversational",
    "preference",
]


class Quantization(Model):
    """How qlora holds the model's own linear layers: in four bits, by bitsandbytes."""

    quant_type: Literal["nf4", "fp4"] = "nf4"
    """The four-bit type (transformers' bnb_4bit_quant_type)."""
    double_quant: bool = True
    """Whether the scales of the weights are quantized, too (bnb_4bit_use_double_quant)."""
    compute_dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """The type in which they are multiplied (bnb_4bit_compute_dtype).

    That of training.bf16 or training.fp16, else that in which the model is loaded, when absent.
    """


class Peft(Model):
    """Parameter-efficient fine-tuning."""

    method: Literal["lora", "qlora", "dora"]
    """The method: small matrices (lora), on weights in four bits (qlora), or with a magnitude (dora)."""
    r: int = Field(default=16, ge=1)
    """The rank of the added matrices."""
    alpha: int = Field(default=32, ge=1)
    """The scale of the added matrices."""
    dropout: float = Field(default=0.0, ge=0, le=1)
    """The dropout before the added matrices."""
    target_modules: tuple[str, ...] = ("all-linear",)
    """Which modules get matrices: names, or all-linear."""
    modules_to_save: tuple[str, ...] = ()
    """Modules that are trained in full."""
    quantization: Quantization | None = None
    """How qlora holds the model's own weights; NF4, with quantized scales, when absent."""


class Preference(Model):
    """How a preference is learned (task: preference): direct preference optimization against the model as it was."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the model is held to what it was."""
    loss: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """The loss of a pair: sigmoid as in the DPO paper, hinge as in SLiC, or ipo."""


class CheckpointPolicy(Model):
    """How recovery checkpoints are taken and kept."""

    every_steps: int | None = Field(default=None, ge=1)
    """The interval in optimizer steps; chosen from the measured cost when absent."""
    keep: int = Field(default=2, ge=1)
    """How many published checkpoints are kept; the newest is always resumable."""
    volume: VolumeReference | None = None
    """A volume as the durable place, instead of the W&B artifact."""
    allow_change: bool = False
    """Whether to resume although data, model or hyperparameters changed since the checkpoint."""


class RunCompute(Model):
    """What the trainer runs on."""

    nodes: int = Field(default=1, ge=1)
    """The number of pods."""
    processes_per_node: int = Field(default=1, ge=1)
    """The number of processes in each pod: its GPUs, or one without any."""
    threads_per_process: int = Field(default=1, ge=1)
    """The OMP threads of each process; pinned, for they change the last bits of a sum."""


class JobIdentity(Model):
    """The FineTuneJob that this is."""

    name: str
    """Its name."""
    namespace: str
    """Its namespace."""
    uid: str
    """Its uid: what a checkpoint belongs to."""
    generation: int = 1
    """The generation of its spec."""


class CommonRun(Model):
    """What run.json says of any job. What belongs to an attempt travels in `environment`."""

    schema_version: Literal[1] = 1
    """The version of this format."""
    job: JobIdentity
    """The FineTuneJob."""
    run_id: str
    """The W&B run's id, made from the job's uid."""
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    """Recovery checkpoints."""
    wandb: WandbSettings = WandbSettings()
    """The W&B run."""
    hub: HubSettings = HubSettings()
    """The Hub."""
    compute: RunCompute = RunCompute()
    """What it runs on."""
    grace_period_seconds: int = Field(default=60, ge=1)
    """The seconds between SIGTERM and SIGKILL."""
    hang_timeout_seconds: int = Field(default=1800, ge=1)
    """How long no step may take."""


class RunConfig(CommonRun):
    """run.json of a job that the trainer trains."""

    task: Task
    """The task."""
    model: ModelSource
    """The model."""
    dataset: DatasetSource
    """The data."""
    tokenizer: TokenizerSource = TokenizerSource()
    """The tokenizer."""
    training: TrainingArguments = TrainingArguments()
    """transformers.TrainingArguments."""
    global_batch_size: int | None = Field(default=None, ge=1)
    """Examples per optimizer step over all processes; the accumulation steps follow from it."""
    peft: Peft | None = None
    """Parameter-efficient fine-tuning."""
    preference: Preference | None = None
    """How a preference is learned."""
    distributed: Distributed = Distributed()
    """How processes share the work."""
    evaluation: Evaluation = Evaluation()
    """What is measured."""
    extensions: Extensions = Extensions()
    """The author's own code."""
    output: Output = Output()
    """Where the model goes."""
