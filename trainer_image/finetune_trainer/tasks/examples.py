"""A job's splits as examples, each in its place: what every task does with them, whatever it makes of a row."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_trainer import data
from finetune_trainer.config import Plan
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import streams
from finetune_trainer.data.keyed import Fixed, Keyed, Make
from finetune_trainer.data.passes import Drawn
from finetune_trainer.data.text_variations import Varied
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.measuring import metrics

LOSS = frozenset({"loss", "eval_loss"})
OF_A_CLASS = ("precision_", "recall_", "f1_")
"""How the names of a class's own metrics begin."""


@contextmanager
def at_once(args: Any) -> Iterator[None]:
    """Let the first process of a node prepare what the others then find."""
    if args.world_size == 1:
        yield
        return
    with args.main_process_first(local=True):
        yield


def raw(config: RunConfig, args: Any, cache: Path) -> data.Raw:
    """The splits that play a part, as they were written."""
    evaluates = str(getattr(args.eval_strategy, "value", args.eval_strategy)) != "no" or bool(args.eval_on_start)
    with at_once(args):
        return data.raw(config, cache, evaluates=evaluates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The examples of every split that plays a part."""

    train: Any
    evaluation: Any | None
    test: Any | None
    further: Mapping[str, Any]
    seed: int
    """What is drawn while training follows from it."""

    def parts(
        self, drawn: Make | None = None, held_out: Make | None = None, rows: Any = None, hidden: str | None = None
    ) -> dict[str, Any]:
        """Their places in a `Prepared`, with the fingerprint of what is trained on and evaluated.

        `drawn` makes a training example anew in every epoch, from `rows` where these are not the examples themselves;
        `held_out` makes any other once and for all; `hidden` is a column without numbers.
        """
        told = [one for one in (self.train, self.evaluation) if one is not None]

        def seen(table: Any | None) -> Any:
            return table if table is None or held_out is None else Fixed(table, held_out)

        return {
            "train_dataset": self.train if drawn is None else self._anew(self.train if rows is None else rows, drawn),
            "eval_dataset": seen(self.evaluation),
            "test_dataset": seen(self.test),
            "further": {name: seen(table) for name, table in self.further.items()},
            "fingerprint": data.fingerprint([one.remove_columns(hidden) if hidden else one for one in told]),
        }

    def _anew(self, rows: Any, make: Make) -> Any:
        if streams.is_stream(rows):
            return Drawn(rows=rows, make=make, seed=self.seed)
        return Keyed(rows, make, self.seed)


def varied(config: RunConfig, encode: data.Encode, columns: tuple[str, ...]) -> Varied | None:
    """What varies the texts of rows while training, where the job wants it; a row is one example."""
    names = config.dataset.augment
    if names and not columns:
        raise ConfigurationError(
            "ColumnNotFound", "dataset.augment varies dataset.columns.text, which names no column. Leave augment out."
        )
    return Varied(encode=encode, columns=columns, names=names) if names else None


def examples(encoded: Callable[[Any, str], Any], given: data.Raw, config: RunConfig, args: Any) -> Examples:
    """The examples of all splits, from the task's way of encoding a table; the other argument is the split's name."""
    with at_once(args):
        return Examples(
            train=encoded(given.train, config.dataset.splits.train),
            evaluation=None if given.evaluation is None else encoded(given.evaluation, "the evaluation split"),
            test=None if given.test is None else encoded(given.test, "the test split"),
            further={name: encoded(table, f"the further split {name}") for name, table in given.further.items()},
            seed=streams.seed(config),
        )


def chosen(
    config: RunConfig, plan: Plan, known: Mapping[str, Callable[..., float]], usual: tuple[str, ...] = ()
) -> Mapping[str, Callable[..., float]]:
    """The metrics that the job names, else the `usual` ones, else all that the task knows."""
    if plan.loss_only and (config.training.metric_for_best_model or "loss") not in LOSS:
        raise ConfigurationError(
            "MetricUnknown", "prediction_loss_only leaves no metric but the loss. Remove metric_for_best_model."
        )
    wanted = metrics.chosen(config.evaluation.metrics or usual, known, loss_only=plan.loss_only)
    _refuse_unmeasured(config, tuple(wanted))
    return wanted


def _refuse_unmeasured(config: RunConfig, measured: tuple[str, ...]) -> None:
    """Refuse a best model by a metric that no evaluation will have, as far as their names are known before."""
    name = (config.training.metric_for_best_model or "loss").removeprefix("eval_")
    for one in config.dataset.splits.further:
        name = name.removeprefix(f"{one.name}_")
    of_a_class = not config.evaluation.metrics and name.startswith(OF_A_CLASS)
    if name in {"loss", *measured} or of_a_class or config.extensions.metrics:
        return
    raise ConfigurationError(
        "MetricUnknown",
        f"training.metric_for_best_model: {name} is not measured. There are: {', '.join(('loss', *measured))}. Choose "
        "one, or add it to evaluation.metrics.",
    )


def rounded_to(args: Any) -> int | None:
    """What lengths of batches are rounded up to, for kernels of half precision that like it."""
    return 8 if args.fp16 or args.bf16 else None
