"""The author's own callbacks, metrics, collator, optimizer and loss: imported by name, before anything costs time."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

import torch
import transformers

from finetune_trainer.contract.extensions import Extension, Extensions
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED, TaskLoss
from finetune_trainer.measuring.showing import Answers
from finetune_trainer.recovery.chance import random_state, set_random_state

NO_CALLBACK = "is not a transformers.TrainerCallback"
CALLED_WITH: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = MappingProxyType(
    {
        "callbacks": ((), {}),
        "metrics": (("predicted", "right"), {}),
        "collator": ((), {"processing_class": None}),
        "optimizer": (("parameters",), {"lr": 0.0}),
        "loss": (("outputs", "labels"), {}),
    }
)
"""What each is called with, beside its own arguments."""


def check(config: RunConfig) -> None:
    """Refuse what cannot be imported, or means nothing in this job."""
    wanted = config.extensions
    for folder in reversed(wanted.python_path):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    for field, one in _named(wanted):
        _refuse_misfit(field, one, loaded(field, one))
    if wanted.optimizer is not None and config.distributed.deepspeed is not None:
        raise ConfigurationError(
            "ExtensionUnsuitable",
            "extensions.optimizer: DeepSpeed shards optimizers that it knows. Leave it out, or use distributed.ddp.",
        )


def _named(wanted: Extensions) -> Iterator[tuple[str, Extension]]:
    yield from (("callbacks", one) for one in wanted.callbacks)
    yield from (("metrics", one) for one in wanted.metrics)
    for field in ("collator", "optimizer", "loss"):
        if (one := getattr(wanted, field)) is not None:
            yield field, one


def loaded(field: str, one: Extension) -> Callable[..., Any]:
    """What a name stands for."""
    module, separator, attribute = one.use.partition(":")
    try:
        found: Any = importlib.import_module(module) if separator else _installed(field, one.use)
        for name in attribute.split(".") if separator else ():
            found = getattr(found, name)
    except Exception as problem:  # The author's module may fail in any way as it is imported.
        raise ConfigurationError(
            "ExtensionNotFound",
            f"extensions.{field}: {one.use} cannot be imported: {type(problem).__name__}: {problem}. Write "
            "module:attribute, and name the module's folder in extensions.pythonPath.",
        ) from problem
    if not callable(found):
        raise _unsuitable(field, one, "cannot be called")
    made: Callable[..., Any] = found
    return made


def _refuse_misfit(field: str, one: Extension, found: Callable[..., Any]) -> None:
    """Refuse what could not be called as it will be, as far as its signature tells."""
    if field == "callbacks" and isinstance(found, type) and not issubclass(found, transformers.TrainerCallback):
        raise _unsuitable(field, one, NO_CALLBACK)
    args, given = ((), {}) if field == "loss" and isinstance(found, type) else CALLED_WITH[field]
    try:
        inspect.signature(found).bind(*args, **given, **one.arguments)
    except ValueError:
        return  # It is not written in Python, and has none to look at.
    except TypeError as problem:
        raise _unsuitable(field, one, f"cannot be called with its arguments: {problem}") from problem


def _installed(group: str, name: str) -> Any:
    found = tuple(entry_points(group=f"finetune.{group}", name=name))
    if not found:
        raise ImportError(f"no package in the image has an entry point of that name in the group finetune.{group}")
    return found[0].load()


def _unsuitable(field: str, one: Extension, why: str) -> ConfigurationError:
    return ConfigurationError("ExtensionUnsuitable", f"extensions.{field}: {one.use} {why}. Correct it.")


def _made(field: str, one: Extension, *args: Any, **given: Any) -> Any:
    try:
        return loaded(field, one)(*args, **given, **one.arguments)
    except TypeError as problem:
        raise _unsuitable(field, one, f"cannot be called with its arguments: {problem}") from problem


def callbacks(config: RunConfig) -> list[Any]:
    """The author's callbacks, in their order."""
    made = [(one, _made("callbacks", one)) for one in config.extensions.callbacks]
    for one, callback in made:
        if not isinstance(callback, transformers.TrainerCallback):
            raise _unsuitable("callbacks", one, NO_CALLBACK)
    return [callback for _, callback in made]


def collator(config: RunConfig, processing_class: Any, usual: Any) -> Any:
    """The author's collator, else the task's."""
    one = config.extensions.collator
    return usual if one is None else _made("collator", one, processing_class=processing_class)


def optimizer(config: RunConfig, args: Any) -> tuple[Any, dict[str, Any]] | None:
    """The author's class and what it is called with, beside the parameters."""
    one = config.extensions.optimizer
    return None if one is None else (loaded("optimizer", one), {"lr": args.learning_rate, **one.arguments})


def loss(config: RunConfig, usual: TaskLoss) -> TaskLoss:
    """The author's loss, else the task's."""
    one = config.extensions.loss
    if one is None:
        return usual
    found = loaded("loss", one)
    made = _made("loss", one) if isinstance(found, type) else Sum(function=found, arguments=one.arguments)
    if not (hasattr(made, "items") and hasattr(made, "total")):
        raise _unsuitable("loss", one, "has no methods items and total")
    wanted: TaskLoss = made
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A function that gives a sum, over labels that each count for one."""

    function: Callable[..., torch.Tensor]
    arguments: Mapping[str, Any]

    def items(self, labels: torch.Tensor) -> torch.Tensor:
        """How many labels are predicted."""
        return labels.ne(IGNORED).sum()

    def total(self, outputs: Mapping[str, Any], labels: torch.Tensor, *, training: bool) -> torch.Tensor:
        """The sum over all that is predicted."""
        del training
        return self.function(outputs, labels, **self.arguments)


def metrics(config: RunConfig, answers: Answers | None) -> Callable[[Any], dict[str, float]]:
    """What the author measures of an evaluation's rows; nothing is drawn in it that training would notice."""
    wanted = [(one, loaded("metrics", one)) for one in config.extensions.metrics]
    if wanted and answers is None:
        raise ConfigurationError(
            "ExtensionUnsuitable",
            f"extensions.metrics: an example of {config.task} has no single answer to measure. Leave them out.",
        )

    def measured(evaluated: Any) -> dict[str, float]:
        if answers is None or not wanted:
            return {}
        predicted, right = answers.of(evaluated)
        found: dict[str, float] = {}
        with aside():
            for one, metric in wanted:
                value = metric(predicted, right, **one.arguments)
                name = one.use.rpartition(":")[2].rpartition(".")[2]
                given = value if isinstance(value, Mapping) else {name: value}
                found |= {key: float(number) for key, number in given.items()}
        return found

    return measured


@contextmanager
def aside() -> Iterator[None]:
    """Put the random states back afterwards."""
    before = random_state()
    try:
        yield
    finally:
        set_random_state(before)
