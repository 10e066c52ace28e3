"""The author's own code in a training run: one mechanism for callbacks, metrics, collator, optimizer and loss."""

from pydantic import Field, JsonValue

from finetune_trainer.contract.model import Model


class Extension(Model):
    """Something of the author's own."""

    use: str = Field(min_length=1, max_length=256)
    """Where it is: module:attribute, or the name of an installed entry point of the group finetune.<field>."""
    arguments: dict[str, JsonValue] = {}
    """What it is called with, by name."""


class Extensions(Model):
    """The author's own code, from the image or from a mounted volume."""

    python_path: tuple[str, ...] = Field(default=(), max_length=16)
    """Folders that modules are looked for in first, for example of a volume in podTemplate.volumes."""
    callbacks: tuple[Extension, ...] = Field(default=(), max_length=16)
    """Classes of transformers.TrainerCallback; one that is an ExportableState keeps its state over restarts."""
    metrics: tuple[Extension, ...] = Field(default=(), max_length=16)
    """Functions of the predictions and the labels of an evaluation; each gives a number, or several by name."""
    collator: Extension | None = None
    """Given processing_class, makes a function from examples to a batch; it must draw nothing."""
    optimizer: Extension | None = None
    """A class of torch.optim.Optimizer; it is given the parameters, and training.learning_rate as lr."""
    loss: Extension | None = None
    """Makes a function of the model's outputs and the labels that gives the sum over all that is predicted.

    Or an object with `items(labels)` and `total(outputs, labels, training)`, where not every label counts for one.
    """
