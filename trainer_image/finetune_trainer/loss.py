"""A loss that is the mean over all that a step predicts, however many passes and processes share the step.

transformers takes most models' own loss for a sum that was divided by the items of the whole step when it is the
mean of one pass, so that loss and gradients grow with accumulation and world size. Here the sum is ours.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional
from transformers.trainer_pt_utils import nested_gather

IGNORED = -100
"""The label of a position that is not predicted."""
REPEATED = "is_repeated"
"""In a batch: all of it is another process's too. It is passed through, for all must pass, and counts nothing."""


class TaskLoss(Protocol):
    """What a task minimises: a sum over what it predicts, and the count of that."""

    def items(self, labels: torch.Tensor) -> torch.Tensor:
        """How many predictions the labels ask for; what the sum of a step is divided by."""

    def total(self, outputs: Mapping[str, Any], labels: torch.Tensor, *, training: bool) -> torch.Tensor:
        """The sum over all that is predicted, from the model's outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropy:
    """Cross entropy over a task's labels."""

    shifted: bool
    """Whether position i predicts the label of position i + 1; by task, for models disagree about it."""
    smoothing: float = 0.0
    """The probability that label smoothing takes from the right label, while training."""
    weights: torch.Tensor | None = None
    """How much each label counts, in the sum and in what it is divided by; 1 when absent."""

    def items(self, labels: torch.Tensor) -> torch.Tensor:
        """How many labels are predicted, or what these weigh."""
        return self._counted(self._targets(labels)).sum()

    def total(self, outputs: Mapping[str, Any], labels: torch.Tensor, *, training: bool) -> torch.Tensor:
        """The sum over all that is predicted."""
        logits = outputs["logits"]
        scores = (logits[..., :-1, :] if self.shifted else logits).float()
        return functional.cross_entropy(
            scores.reshape(-1, scores.shape[-1]),
            self._targets(labels).reshape(-1),
            weight=self._weights(scores),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.smoothing if training else 0.0,
        )

    def of_rows(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The sum of each row, and how many labels it has or what these weigh: two columns."""
        targets = self._targets(labels).reshape(len(labels), -1)
        scores = (logits[..., :-1, :] if self.shifted else logits).float().reshape(*targets.shape, -1)
        each = functional.cross_entropy(
            scores.transpose(1, 2), targets, self._weights(scores), ignore_index=IGNORED, reduction="none"
        )
        return torch.stack([each.double().sum(1), self._counted(targets).sum(1).double()], dim=1)

    def _weights(self, scores: torch.Tensor) -> torch.Tensor | None:
        return None if self.weights is None else self.weights.to(scores.device)

    def _counted(self, targets: torch.Tensor) -> torch.Tensor:
        predicted = targets.ne(IGNORED)
        if self.weights is None:
            return predicted
        return self.weights.to(targets.device)[targets.clamp(min=0)] * predicted

    def _targets(self, labels: torch.Tensor) -> torch.Tensor:
        return labels[..., 1:] if self.shifted else labels


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryCrossEntropy:
    """Cross entropy of yes and no for every label of a row; `labels` are rows of zeros and ones."""

    weights: torch.Tensor | None = None
    """How much the presence of each label counts; the divisor is the number of answers all the same."""

    def items(self, labels: torch.Tensor) -> torch.Tensor:
        """How many times yes or no is said."""
        return torch.tensor(labels.numel(), device=labels.device)

    def total(self, outputs: Mapping[str, Any], labels: torch.Tensor, *, training: bool) -> torch.Tensor:  # noqa: ARG002 - The protocol's.
        """The sum over all that is said."""
        return self._each(outputs["logits"], labels).sum()

    def of_rows(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The sum of each row, and how many labels there are: two columns."""
        sums = self._each(logits, labels).double().sum(1)
        return torch.stack([sums, torch.full_like(sums, labels.shape[1])], dim=1)

    def _each(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weights = None if self.weights is None else self.weights.to(logits.device)
        return functional.binary_cross_entropy_with_logits(
            logits.float(), labels.float(), pos_weight=weights, reduction="none"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredError:
    """The squared distance from one number for each row."""

    def items(self, labels: torch.Tensor) -> torch.Tensor:
        """How many numbers are predicted."""
        return torch.tensor(labels.numel(), device=labels.device)

    def total(self, outputs: Mapping[str, Any], labels: torch.Tensor, *, training: bool) -> torch.Tensor:  # noqa: ARG002 - The protocol's.
        """The sum over all rows."""
        return self._each(outputs["logits"], labels).sum()

    def of_rows(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The squared distance of each row, and 1: two columns."""
        each = self._each(logits, labels).double()
        return torch.stack([each, torch.ones_like(each)], dim=1)

    def _each(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (logits.squeeze(-1).float() - labels.float()).square()


Outputs = Callable[[Any, Mapping[str, Any]], Any]
"""What a task makes of a model and a batch: a mapping that its loss and its metrics read."""


def plain(model: Any, inputs: Mapping[str, Any]) -> Any:
    """What the model makes of a batch without its labels."""
    return model(**{name: value for name, value in inputs.items() if name != "labels"})


def loss(  # noqa: PLR0917 - As the Trainer has them, and how the task is computed.
    function: TaskLoss,
    model: Any,
    inputs: dict[str, Any],
    num_items_in_batch: torch.Tensor | int | None,
    args: Any,
    outputs_of: Outputs = plain,
) -> tuple[torch.Tensor, Any]:
    """This pass's share of the step's loss, and the model's outputs.

    In an evaluation it is the mean of the batch; the exact mean over the data comes from the task's metrics.
    """
    labels = inputs["labels"]
    outputs = outputs_of(model, inputs)
    total = function.total(outputs, labels, training=model.training)
    if not model.training or num_items_in_batch is None:
        return total / _divisor(function.items(labels)), outputs
    # Gradients and logged losses are averaged over the processes; the divisor counts the items of all of them.
    share = args.world_size if args.average_tokens_across_devices else 1
    return total * share / num_items_in_batch, outputs


def items(function: TaskLoss, batches: Iterable[dict[str, Any]], args: Any, accelerator: Any) -> torch.Tensor:
    """The divisor of a step: what is predicted in all its passes, of all processes unless the job says of each."""
    own = (batch["labels"] for batch in batches if REPEATED not in batch)
    counted = sum((function.items(labels) for labels in own), start=torch.tensor(0)).to(args.device)
    if args.average_tokens_across_devices and args.world_size > 1:
        counted = accelerator.gather(counted).sum()
    return _divisor(counted)


def _divisor(counted: torch.Tensor) -> torch.Tensor:
    """What was counted, or 1 for nothing; weights may well come to less than 1."""
    return torch.where(counted > 0, counted, torch.ones_like(counted))


def own_rows(batch: Mapping[str, Any], num_examples: int, args: Any) -> dict[str, Any]:
    """The last batch of an epoch without the rows that accelerate has repeated to give every process as many.

    All processes together then learn from each example once, as a single one would.
    """
    rows = len(batch["labels"])
    rest = num_examples % (rows * args.world_size)
    own = rest - args.process_index * rows if rest else rows
    cut = {name: value[: max(own, 1)] if torch.is_tensor(value) else value for name, value in batch.items()}
    return cut if own > 0 else {**cut, REPEATED: True}


class RightLoss:
    """Mixed into transformers.Trainer, before it: `class Mine(RightLoss, Trainer)`, then set `task_loss`."""

    task_loss: TaskLoss
    task_outputs: Outputs = staticmethod(plain)
    loss_is_scaled_for_ga = True
    """Tells the Trainer not to divide by the accumulation steps once more."""
    args: Any
    accelerator: Any
    train_dataset: Any
    _tr_loss: Any

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: Any
    ) -> tuple[list[dict[str, Any]], Any]:
        """The batches of a step, and what the step is divided by."""
        batches = [*itertools.islice(epoch_iterator, num_batches)]
        if batches and self._may_repeat() and self.accelerator.gradient_state.end_of_dataloader:
            with contextlib.suppress(TypeError):  # A stream has no length, and is not dealt out in rounds.
                batches[-1] = own_rows(batches[-1], len(self.train_dataset), self.args)
        return batches, self._get_num_items_in_batch(batches, device)

    def _may_repeat(self) -> bool:
        deals_rounds = self.args.train_sampling_strategy != "batch_rebalance" and not self.args.dataloader_drop_last
        return deals_rounds and self.args.world_size > 1

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This pass's share of the step's loss."""
        is_repeated = inputs.pop(REPEATED, False)
        value, outputs = loss(self.task_loss, model, inputs, num_items_in_batch, self.args, self.task_outputs)
        value = value * 0.0 if is_repeated else value
        return (value, outputs) if return_outputs else value

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> Any:  # noqa: ARG002 - The Trainer's own signature.
        return items(self.task_loss, batch_samples, self.args, self.accelerator) if batch_samples else None

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        """Sum up; what was learned since the last logged row counts as in a row, not by the first process's share."""
        self._tr_loss = nested_gather(self._tr_loss, self.args.parallel_mode).mean()
        return super()._finalize_training(*args, **kwargs)  # type: ignore[misc]  # The Trainer's, beside which this stands.
