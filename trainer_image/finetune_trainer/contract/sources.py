"""Where model, tokenizer and data come from, and how the data are read."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from finetune_trainer.contract.model import Model


class ModelSource(Model):
    """The model to start from."""

    uri: str
    """Where it is: hf://owner/name, file:///mounted/path, wandb://entity/project/artifact:alias, s3:// or gs://."""
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


Augmentation = Literal[
    "horizontal-flip", "random-crop", "word-deletion", "word-swap", "word-crop", "word-case", "letter-swap"
]


class DatasetSource(Model):
    """The data."""

    uri: str
    """Where it is: hf://owner/name, wandb://entity/project/artifact:alias, or a file or folder, file://, s3:// or gs://.

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
    augment: tuple[Augmentation, ...] = Field(default=(), max_length=8)
    """How examples are varied in every epoch while training, in this order.

    Images (image-classification): horizontal-flip, random-crop. Texts (text-classification, multiple-choice, what
    summarization reads), each in a tenth of the words: word-deletion, word-swap of neighbors, word-crop of words that
    stand together, word-case, letter-swap.
    """
