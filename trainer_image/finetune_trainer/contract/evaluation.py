"""What is measured beside the loss, and shown."""

from pydantic import Field

from finetune_trainer.contract.model import Model


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
