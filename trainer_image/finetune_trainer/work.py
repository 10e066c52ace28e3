"""What is trained, ready to run: the task's model, data and loss in a Trainer that can be interrupted."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import datasets
import transformers

from finetune_trainer import extensions, tasks
from finetune_trainer.config import Plan, plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.distributed import sharing
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.evaluation import Measuring, SeveralSets
from finetune_trainer.loss import RightLoss
from finetune_trainer.measuring.generating import Writes
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.prepared import Prepared
from finetune_trainer.trainer import RecoverableTrainer

SECRET = ("token", "key", "password")
NOT_MEASURED = ("_runtime", "_per_second", "epoch")
"""What an evaluation's row has beside its metrics, by the ends of the names."""


class TaskTrainer(RightLoss, Writes, SeveralSets, RecoverableTrainer):
    """The Trainer with the loss of the task, and texts where it writes them."""

    reads: Callable[[dict[str, Any]], None] = staticmethod(lambda _: None)
    """Told every batch that is trained on."""

    @property
    def evaluated(self) -> Any:
        """The rows of the last evaluation, for callbacks; none before the first."""
        return self.compute_metrics.last if self.compute_metrics is not None else None

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """An evaluation's metrics; one that the best model or the rate follows, and it lacks, would never come."""
        found = super().evaluate(*args, **kwargs)
        wanted = self.args.metric_for_best_model
        if wanted is not None and f"eval_{wanted.removeprefix('eval_')}" not in found:
            measured = (name.removeprefix("eval_") for name in found if not name.endswith(NOT_MEASURED))
            raise ConfigurationError(
                "MetricUnknown",
                f"training.metric_for_best_model: {wanted} was not measured. There are: {', '.join(measured)}. Choose "
                "one.",
            )
        return found

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """One forward and backward."""
        self.reads(inputs)
        return super().training_step(model, inputs, *args, **kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A Trainer with everything but the recovery around it."""

    trainer: TaskTrainer
    ready: Prepared
    fingerprint: str
    settings: dict[str, Any]


def arguments(config: RunConfig, here: Surroundings) -> tuple[Plan, Any]:
    """The plan for these processes and transformers' arguments; meets the other processes."""
    transformers.logging.disable_progress_bar()
    wanted = plan(config, int(os.environ.get("WORLD_SIZE", "1")))
    return wanted, training_arguments(wanted, here.output_dir)


def work(config: RunConfig, here: Surroundings, wanted: Plan, args: Any) -> Work:
    """The task, prepared."""
    # Five seconds at each end of a mixed stream, lest Arrow's threads crash an interpreter that ends; ours does not.
    datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
    extensions.check(config)
    ready = tasks.prepared(config, wanted, args, here.work_dir / "prepared")
    trainer = TaskTrainer(
        model=ready.model,
        args=args,
        train_dataset=ready.train_dataset,
        eval_dataset=ready.eval_dataset,
        data_collator=extensions.collator(config, ready.processing_class, ready.collator),
        processing_class=ready.processing_class,
        compute_metrics=None if wanted.loss_only else Measuring(config, ready),
        preprocess_logits_for_metrics=None if wanted.loss_only else ready.preprocess_logits_for_metrics,
        optimizer_cls_and_kwargs=extensions.optimizer(config, args),
        callbacks=early_stopping(config),
    )
    trainer.further, trainer.predicts_afterwards = ready.further, ready.test_dataset is not None
    trainer.task_loss = extensions.loss(config, ready.loss)
    trainer.task_outputs, trainer.writing = ready.outputs, ready.writing
    return Work(trainer=trainer, ready=ready, fingerprint=ready.fingerprint, settings=settings(args, ready.model))


def early_stopping(config: RunConfig) -> list[Any]:
    """The callback that stops when the metric no longer improves, where the job wants it."""
    wanted = config.evaluation.early_stopping
    if wanted is None:
        return []
    return [
        transformers.EarlyStoppingCallback(
            early_stopping_patience=wanted.patience, early_stopping_threshold=wanted.threshold
        )
    ]


def num_parameters(model: Any) -> int:
    """How many parameters a model has, also when this process holds a part of them."""
    return sum(map(sharing.num_elements, model.parameters()))


def settings(args: Any, model: Any) -> dict[str, Any]:
    """Every hyperparameter and the model's shape, as W&B's run configuration has them; no key among them."""
    shape: dict[str, Any] = {}
    with contextlib.suppress(AttributeError):
        shape = model.config.to_dict()
    named = {**shape, **args.to_dict(), "num_parameters": num_parameters(model)}
    return {name: value for name, value in named.items() if not name.endswith(SECRET)}
