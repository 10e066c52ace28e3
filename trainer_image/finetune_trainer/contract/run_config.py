"""What to train: the blocks of a job that the trainer reads, and `RunConfig`, the file it reads them from.

The operator's resource embeds these models, so what the API server accepts, the trainer accepts. Defaults live here
and nowhere else. A block that is declared but not built yet is refused by `operator` and `validate`, with a sentence.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from finetune_trainer.contract.extensions import Extensions
from finetune_trainer.contract.model import Model
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


class ModelSource(Model):
    """The model to start from."""

    uri: str
    """Where it is: hf://owner/name, file:///mounted/path or wandb://entity/project/artifact:alias."""
    revision: str | None = None
    """The branch, tag or commit of an hf:// model; the default branch when absent."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "float32"
    """The type in which weights are loaded; mixed precision is training.bf16 or training.fp16."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """The attention kernel; transformers chooses when absent."""
    config: dict[str, JsonValue] = {}
    """Overrides of the model's own configuration, for example hidden_dropout_prob."""
    freeze: tuple[str, ...] = ()
    """Name patterns of parameters that are not trained, for example bert.embeddings.*."""
    trust_remote_code: bool = False
    """Whether Python files of the model's repository may run in the trainer's pod."""


class TokenizerSource(Model):
    """The tokenizer, where it differs from the model's own, and how text is cut."""

    uri: str | None = None
    """Where it is; the model's own when absent."""
    revision: str | None = None
    """The branch, tag or commit of an hf:// tokenizer."""
    max_length: int | None = Field(default=None, ge=1)
    """The longest example in tokens; longer ones are cut. The model's own limit when absent."""
    stride: int | None = Field(default=None, ge=0)
    """The overlap in tokens of the pieces of a long text (question-answering); at most 128 when absent."""
    pad_token: str | None = None
    """The padding token, for tokenizers that have none; the end-of-sequence token when absent."""
    chat_template: str | None = Field(default=None, max_length=65536)
    """A Jinja chat template, for tokenizers that have none."""
    packing: bool = False
    """Whether several short examples share one sequence of maxLength tokens (text-generation, conversational).

    They do not see each other; evaluations are not packed.
    """
    prefix: str | None = None
    """What is put before every source text, for example "summarize: " (summarization, translation)."""
    max_target_length: int | None = Field(default=None, ge=2)
    """The longest target in tokens; longer ones are cut (summarization, translation). maxLength when absent."""
    source_language: str | None = None
    """The language code of source texts, for models of many languages (summarization, translation)."""
    target_language: str | None = None
    """The language code of target texts, for models of many languages (summarization, translation)."""


class Columns(Model):
    """Which columns of the data set play which part; the task names those it needs."""

    text: tuple[str, ...] = ()
    """The text, or two texts of a pair."""
    label: str | None = None
    """The label."""
    tokens: str | None = None
    """The words of a token-classification example."""
    tags: str | None = None
    """The label of each word."""
    question: str | None = None
    """The question."""
    context: str | None = None
    """The text in which the answer stands."""
    answers: str | None = None
    """The answers with their positions."""
    source: str | None = None
    """The text to summarize or translate."""
    target: str | None = None
    """The summary or translation."""
    messages: str | None = None
    """The turns of a conversation."""
    prompt: str | None = None
    """What the model is given."""
    completion: str | None = None
    """What the model should answer."""
    chosen: str | None = None
    """The preferred answer."""
    rejected: str | None = None
    """The other answer."""
    image: str | None = None
    """The image."""
    choices: tuple[str, ...] = ()
    """The possible answers: one column of lists, or a column for each."""


class FurtherSplit(Model):
    """A split that is evaluated beside the others."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    """What its metrics begin with: eval/name_accuracy."""
    split: str
    """The split, a name or a slice."""


class Splits(Model):
    """Which split plays which part, each a name or a slice such as train[:90%]."""

    train: str = "train"
    """The split that is trained on."""
    evaluation: str | None = None
    """The split that is evaluated; validation, else test, when absent."""
    test: str | None = None
    """The split that is predicted at the end."""
    further: tuple[FurtherSplit, ...] = Field(default=(), max_length=8)
    """Splits that every evaluation measures too, each under its name."""


class MaxSamples(Model):
    """How many examples of each split are used, from its beginning."""

    train: int | None = Field(default=None, ge=1)
    """The limit of the training split; all when absent."""
    evaluation: int | None = Field(default=None, ge=1)
    """The limit of the evaluation split; all when absent."""


class MixedSource(Model):
    """A further data set that training examples are drawn from."""

    uri: str
    """Where it is, as dataset.uri."""
    config: str | None = None
    """The configuration of an hf:// data set."""
    revision: str | None = None
    """The branch, tag or commit of an hf:// data set."""
    split: str = "train"
    """The split, a name or a slice such as train[:90%]."""
    weight: float = Field(default=1.0, gt=0)
    """How often it is drawn from, beside the other weights."""
    columns: Columns | None = None
    """Which columns play which part, where it calls them otherwise than dataset.columns."""


class DatasetSource(Model):
    """The data."""

    uri: str
    """Where it is: hf://owner/name, file:///path of a file or folder, or wandb://entity/project/artifact:alias.

    Files are CSV, JSON, JSON lines, Parquet, Arrow or text.
    """
    config: str | None = None
    """The configuration of an hf:// data set, for example mrpc of GLUE."""
    revision: str | None = None
    """The branch, tag or commit of an hf:// data set."""
    columns: Columns = Columns()
    """Which columns play which part."""
    splits: Splits = Splits()
    """Which splits play which part."""
    labels: tuple[str, ...] = Field(default=(), max_length=4096)
    """The label names in order, where the data set does not say."""
    label_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    """How much a label counts in the loss, by its name; 1 where absent, 0 leaves it out."""
    max_samples: MaxSamples = MaxSamples()
    """How many examples are used."""
    learned_turns: Literal["assistant", "last", "all"] | None = None
    """Which turns of a conversation are learned: the assistant's, the last one, or all.

    The assistant's where the chat template marks them, else the last one, when absent.
    """
    streaming: bool = False
    """Whether examples are read while training, rather than prepared before; needs training.max_steps."""
    shuffle_buffer: int = Field(default=1000, ge=1)
    """How many examples of a stream are held to be drawn from; 1 keeps the order of the files."""
    weight: float = Field(default=1.0, gt=0)
    """How often this data set is drawn from, where mix names others."""
    mix: tuple[MixedSource, ...] = Field(default=(), max_length=16)
    """Further data sets to train on; smaller ones come round again until every one was used up."""
    mask_probability: float | None = Field(default=None, ge=0.01, le=0.99)
    """The share of words that are taken out (fill-mask); 0.15 when absent."""
    augment: tuple[Literal["horizontal-flip", "random-crop"], ...] = ()
    """How images are varied in every epoch while training (image-classification)."""


class Peft(Model):
    """Parameter-efficient fine-tuning."""

    method: Literal["lora", "qlora", "dora"]
    """The method."""
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


class Preference(Model):
    """How a preference is learned (task: preference): direct preference optimization against the model as it was."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the model is held to what it was."""
    loss: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """The loss of a pair: sigmoid as in the DPO paper, hinge as in SLiC, or ipo."""


class DeepSpeed(Model):
    """DeepSpeed ZeRO."""

    zero_stage: int | None = Field(default=None, ge=1, le=3)
    """Which states are partitioned over the ranks: 1 optimizer, 2 and gradients, 3 and parameters."""
    config: dict[str, JsonValue] = {}
    """A whole DeepSpeed configuration instead of zeroStage."""


class Fsdp(Model):
    """Fully sharded data parallel."""

    config: dict[str, JsonValue] = {}
    """transformers' fsdp_config."""


class Ddp(Model):
    """Distributed data parallel, the default with more than one process."""

    find_unused_parameters: bool = False
    """Whether parameters may go without gradient."""


class Distributed(Model):
    """How several processes share the work; at most one of its fields."""

    ddp: Ddp | None = None
    """Distributed data parallel, the default."""
    fsdp: Fsdp | None = None
    """Fully sharded data parallel."""
    deepspeed: DeepSpeed | None = None
    """DeepSpeed ZeRO."""


class VolumeReference(Model):
    """A folder of a PersistentVolumeClaim in the job's namespace."""

    claim_name: str
    """The PersistentVolumeClaim."""
    sub_path: str | None = None
    """The folder in it; the job's name when absent."""


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


class EarlyStopping(Model):
    """Stop when the metric no longer improves."""

    patience: int = Field(default=3, ge=1)
    """How many evaluations without improvement are borne."""
    threshold: float = Field(default=0.0, ge=0)
    """What counts as an improvement."""


class PredictionTable(Model):
    """A W&B table of predictions."""

    rows: int = Field(default=100, ge=1)
    """How many examples."""
    every_epochs: int = Field(default=1, ge=1)
    """How often."""


class Generation(Model):
    """How texts are generated for the metrics of an evaluation; nothing is drawn."""

    max_new_tokens: int = Field(default=128, ge=1)
    """The longest generated text in tokens."""
    num_beams: int = Field(default=1, ge=1)
    """The beams of a beam search; 1 takes the likeliest word each time."""


class Evaluation(Model):
    """What is measured beside the loss."""

    metrics: tuple[str, ...] = ()
    """Names of metrics; those of the task when empty."""
    prediction_table: PredictionTable | None = None
    """A table of predictions in W&B."""
    confusion_matrix: bool = False
    """A confusion matrix in W&B."""
    early_stopping: EarlyStopping | None = None
    """Stop when the metric no longer improves."""
    generation: Generation | None = None
    """How texts are generated for ROUGE and BLEU (summarization, translation)."""


class RegistryLink(Model):
    """A W&B Registry collection that the final model is linked to."""

    collection: str
    """The collection, as registry/collection."""
    aliases: tuple[str, ...] = ()
    """The aliases it gets there."""


class HubPush(Model):
    """A Hub repository that the final model is pushed to."""

    repo: str
    """The repository, as owner/name."""
    private: bool = True
    """Whether the repository is private."""


class Output(Model):
    """Where the final model goes, beside the W&B artifact."""

    merged: bool = False
    """Whether an adapter (peft) is merged into its model at the end; otherwise the final model is the adapter alone."""
    registry: RegistryLink | None = None
    """A W&B Registry collection."""
    hub: HubPush | None = None
    """A Hub repository."""
    volume: VolumeReference | None = None
    """A volume."""
    uri: str | None = None
    """An s3:// or gs:// folder."""


class WandbMode(StrEnum):
    """Whether the run is sent."""

    ONLINE = "online"
    OFFLINE = "offline"
    DISABLED = "disabled"


class WandbSettings(Model):
    """The W&B run; a field that is absent takes the WANDB_ variable of the same name, else W&B's default."""

    project: str | None = None
    """The project; WANDB_PROJECT, else huggingface, when absent."""
    entity: str | None = None
    """The team or user."""
    name: str | None = None
    """The run's display name; the job's name when absent."""
    group: str | None = None
    """The group under which runs are compared."""
    job_type: str | None = None
    """The kind of work, for example train."""
    tags: tuple[str, ...] = ()
    """The run's tags."""
    notes: str | None = Field(default=None, max_length=16384)
    """What is special about the run."""
    base_url: str | None = None
    """The address of a self-hosted server."""
    mode: WandbMode | None = None
    """Whether the run is sent: online, offline or disabled."""
    log_model: Literal["checkpoint", "end", "false"] | None = None
    """What goes to the model artifact: every save, the final model, or neither ("false", with quotes).

    WANDB_LOG_MODEL, else end, when absent.
    """
    watch: Literal["gradients", "parameters", "all", "false"] | None = None
    """Which histograms are logged ("false" with quotes); WANDB_WATCH, else false, when absent."""
    log_dataset: bool = False
    """Whether the data set's place, version and fingerprint are logged as an artifact that the run uses."""


class HubSettings(Model):
    """The Hugging Face Hub."""

    endpoint: str | None = None
    """The address of a mirror; the public Hub when absent."""


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
