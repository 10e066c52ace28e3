"""The Trainer of transformers, made so that it can be taken away at any step and not notice.

Recovery checkpoints are separate from the user's saves. They are taken after everything that belongs to a step (log,
evaluation, the user's save), or at the end of an epoch after everything that belongs to that; a stop puts off what
would take long and the next attempt does it first, with the random state as it was.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.trainer_callback import ExportableState

from finetune_trainer.contract.outcome import CheckpointKind
from finetune_trainer.data.keyed import Keyed
from finetune_trainer.distributed import deepspeed, fsdp, sharing
from finetune_trainer.finite import LossWatch, examples_of, not_finite
from finetune_trainer.loading import RightLoading
from finetune_trainer.recovery.chance import random_state, set_random_state
from finetune_trainer.recovery.moment import Cadence, Due, Moment, keep_best, keep_precision, moment, writers
from finetune_trainer.recovery.pace import Pace


class EvaluationInterrupted(Exception):
    """All ranks agreed to stop in the middle of an evaluation, or of the predictions at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint that was written into staging by every rank."""

    folder: Path
    step: int
    kind: CheckpointKind


@dataclass(slots=True, kw_only=True)
class Guard:
    """What the world asks of a training run and what it is told; the Trainer's only way out."""

    to_stop: Callable[[], bool]
    """Whether to stop, the same on all ranks."""
    may_save: Callable[[], bool]
    """Whether a termination checkpoint still fits."""
    saved: Callable[[Saved], None]
    """Takes over a checkpoint written into staging; called on every rank."""
    stepped: Callable[[], None]
    """A step was made, or a batch evaluated: this rank is alive."""
    staging: Path
    """Where checkpoints are written first."""
    cadence: Cadence
    """When one is due."""
    resumed: Callable[[], None] = lambda: None
    """No rank reads any more what was resumed from; called on every rank."""
    extras: Callable[[Path], None] = lambda _: None
    """Adds files to a checkpoint, on rank 0."""


class RecoverableTrainer(RightLoading, transformers.Trainer):  # type: ignore[misc]  # transformers is untyped to us.
    """A Trainer that writes and resumes exact checkpoints."""

    guard: Guard
    stopped = False
    """Whether training ended because it was asked to."""
    predicts_afterwards = False
    """Whether work follows that can be interrupted too: the end of training gets a checkpoint then."""
    is_deepspeed_enabled: bool

    _resumed_from: str | None = None
    _rng_after_due: dict[str, Any] | None = None
    _resized = False
    _decays: tuple[float, ...] = ()
    _at_epoch_end = False
    _deferred = False
    _num_weights: int | None = None
    _put_off: tuple[Due, ...] = ()
    save_seconds: float | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = LossWatch()
        self.pace = Pace()

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """Train from a restored checkpoint, or from the beginning; None after a stop before the first step."""
        self._resumed_from = str(resume_from_checkpoint) if resume_from_checkpoint else None
        self.args.logging_nan_inf_filter = False  # A loss that is not a number ends the run instead.
        self.args.restore_callback_states_from_checkpoint = True  # Early stopping keeps its patience.
        if self._resumed_from is not None:
            self.args.eval_on_start = False  # Done by the attempt that started.
            self._resize(Path(self._resumed_from))
        if self.is_fsdp_enabled:
            fsdp.choose_layers(self.accelerator.state.fsdp_plugin, self.model)
        self.add_callback(_Hooks(self))
        try:
            return super().train(resume_from_checkpoint=self._resumed_from, **kwargs)
        except EvaluationInterrupted:  # The one before the first step, which the loop holds alone.
            self.stopped = True
            return None

    # The loop.

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.control.should_training_stop:
            return  # Nothing is left to train: finished before, or stopped by what had been put off.
        if isinstance(self.train_dataset, Keyed):
            self.train_dataset.begin_epoch(kwargs["epoch"])
        super()._run_epoch(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """One forward and backward; a loss that is not a number ends the run as soon as it is seen."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self._watch.note(loss, self.state.global_step + 1)
        self._refuse_bad_numbers(wait=False)
        return loss

    def _refuse_bad_numbers(self, *, wait: bool) -> None:
        if (step := self._watch.found(wait=wait)) is not None:
            loader = self.callback_handler.train_dataloader
            raise not_finite(step, examples_of(loader, step, self.args.gradient_accumulation_steps))

    def _maybe_log_save_evaluate(self, tr_loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        at_epoch_end, self._at_epoch_end = self._at_epoch_end, False
        if self.stopped:
            return
        if not at_epoch_end:
            self._note_step()
            if not self.args.fp16:  # Under a loss scaler, a step of infinite gradients is skipped.
                self._watch.note(args[0] if args else kwargs.get("grad_norm"), self.state.global_step)
        stop = self.guard.to_stop()
        self._let_go()
        self._log_then_rest(stop, tr_loss, *args, **kwargs)
        stop = stop or bool(self._put_off)
        epoch = args[3] if len(args) > 3 else kwargs["epoch"]
        last = self.state.epoch is not None and self.state.epoch >= epoch + 1
        if not at_epoch_end and (last or self.control.should_training_stop):
            self._deferred = True  # The end of the epoch follows, and belongs to this step.
            return
        may_be_due = self._deferred or not at_epoch_end
        self._deferred = False
        self._save_if(stop=stop, due=may_be_due and self._is_due())

    def _let_go(self) -> None:
        """Give up what was resumed from: whoever has agreed after a step has read its random state, the last of it."""
        if self._resumed_from is not None:
            self._resumed_from = None
            self.guard.resumed()
            self.pace.rested()

    def _is_due(self) -> bool:
        at_the_end = bool(self.predicts_afterwards and self.control.should_training_stop)
        return at_the_end or self.guard.cadence.is_due(self.state.global_step)

    def _log_then_rest(self, stop: bool, tr_loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Do what belongs to this step, and put off what a stop has no time for."""
        wanted = Due(evaluate=self.control.should_evaluate, save=self.control.should_save)
        if stop or self._put_off:
            self._put_off_if_any(wanted)
        if self.control.should_log or self.control.should_evaluate or self.control.should_save:
            self._refuse_bad_numbers(wait=True)
        before = random_state() if self.control.should_evaluate else None
        try:
            super()._maybe_log_save_evaluate(tr_loss, *args, **kwargs)
        except EvaluationInterrupted:
            set_random_state(before or {})
            self._put_off_if_any(wanted)
        if wanted.evaluate or wanted.save:
            self.pace.rested()

    def _put_off_if_any(self, wanted: Due) -> None:
        if wanted.evaluate or wanted.save:
            self._put_off = (*self._put_off, wanted)
        self.control.should_evaluate = self.control.should_save = False

    def _save_if(self, *, stop: bool, due: bool) -> None:
        """Write a recovery checkpoint when one is due, and end the loop when asked to."""
        at_the_end = self.state.global_step >= self.state.max_steps
        if stop and not (at_the_end and not self._put_off):
            if not self._largest(float(not self.guard.may_save())):
                self._save_recovery(CheckpointKind.TERMINATION)
            self.stopped = True
            self.control.should_training_stop = True
        elif due:
            self._save_recovery(CheckpointKind.PERIODIC)

    def _note_step(self) -> None:
        self.pace.stepped()
        self.guard.stepped()

    @property
    def seconds_per_step(self) -> float | None:
        """The mean over the last steps."""
        return self.pace.seconds or None

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        """One batch of an evaluation; between two of them a stop is heard."""
        result = super().prediction_step(*args, **kwargs)
        self.between_batches()
        return result

    def between_batches(self) -> None:
        """Say that this rank is alive; raises EvaluationInterrupted when all ranks are to stop."""
        self.guard.stepped()
        if not self.stopped and self.guard.to_stop():
            raise EvaluationInterrupted

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a row; the summary of a run that was only stopped is none."""
        if not self.stopped:
            super().log(logs, start_time)

    def _load_best_model(self) -> None:
        if self.stopped:
            return
        folder, is_first = Path(self.state.best_model_checkpoint), self.args.process_index == 0
        if self.is_deepspeed_enabled and self.accelerator.state.deepspeed_plugin.zero_stage == 3:
            sharing.load_sharded(self.model, folder, is_first=is_first)
            return
        if self.is_fsdp_enabled:
            sharing.load_scattered(self.model, folder, is_first=is_first)
            return
        # What remains of the best model are its weights, in the first pod: DeepSpeed's own state of it is not kept.
        shards, self.is_deepspeed_enabled = self.is_deepspeed_enabled, False
        try:
            super()._load_best_model()
        finally:
            self.is_deepspeed_enabled = shards
        if self.args.world_size > 1:
            sharing.spread(self.model)

    # Writing.

    def _save_recovery(self, kind: CheckpointKind) -> None:
        self._refuse_bad_numbers(wait=True)  # Nobody could go on from such weights.
        started = time.monotonic()
        folder = self.guard.staging / f"checkpoint-{self.state.global_step:08d}"
        if self.args.local_process_index == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._barrier()
        self.store_flos()
        self.save_model(str(folder), _internal_call=True)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        self._moment().write(folder, self.args.process_index)
        if self.args.should_save:
            self._write_state(folder)
            keep_best(self.state.best_model_checkpoint, folder)
            self.guard.extras(folder)
        self._barrier()
        self.guard.saved(Saved(folder=folder, step=self.state.global_step, kind=kind))
        self.save_seconds = self._largest(time.monotonic() - started)
        self.guard.cadence.took(self.state.global_step, self.save_seconds, self._largest(self.pace.seconds))
        self.pace.rested()

    def _moment(self) -> Moment:
        return Moment(
            tr_loss=self._tr_loss.item(),
            total_loss=self._total_loss_scalar,
            last_logged=self._globalstep_last_logged,
            initial_step=self._initial_global_step,
            initial_tokens=int(self._initial_num_input_tokens_seen),
            due=self._put_off,
            has_ended=bool(self.control.should_training_stop),
        )

    def _write_state(self, folder: Path) -> None:
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                self.state.stateful_callbacks[callback.__class__.__name__] = callback.state()
        self.state.save_to_json(str(folder / "trainer_state.json"))

    def _save(self, output_dir: str | None = None, state_dict: Mapping[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        # The pickled arguments hold tokens in clear, and nothing that resumes needs them.
        with suppress(FileNotFoundError):
            (Path(output_dir or self.args.output_dir) / "training_args.bin").unlink()

    def _barrier(self) -> None:
        if self.args.world_size > 1:
            torch.distributed.barrier()

    def _largest(self, value: float) -> float:
        """The largest of all ranks' values: what depends on a clock must come out the same everywhere."""
        if self.args.world_size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.args.device)
        torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
        return shared.item()

    # Resuming.

    def _resize(self, folder: Path) -> None:
        """Have DeepSpeed read a checkpoint that another number of ranks wrote; collective."""
        self._resized = self.is_deepspeed_enabled and writers(folder) != self.args.world_size
        if self._resized:
            if self.args.local_process_index == 0:
                deepspeed.make_universal(folder)
            self._barrier()
            self.accelerator.state.deepspeed_plugin.deepspeed_config |= deepspeed.READ_UNIVERSAL

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        with deepspeed.reading_universal() if self._resized else nullcontext():
            return super()._prepare_for_training(*args, **kwargs)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and not self.is_deepspeed_enabled and not self.is_fsdp_enabled:
            keep_precision(self.optimizer, Path(checkpoint))

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """The optimizer; notes the weight decay of its groups."""
        made = super().create_optimizer(*args, **kwargs)
        self._decays = tuple(group["weight_decay"] for group in made.param_groups)
        return made

    def take_up(self) -> None:
        """Take up the accumulators of the checkpoint and do what its stop had put off; at the beginning of the loop."""
        if self._resumed_from is None:
            return
        folder = Path(self._resumed_from)
        self.guard.cadence.restart(self.state.global_step)
        now = moment(folder, self.args.process_index, self.args.world_size)
        if self._resized:
            deepspeed.mend_optimizer(self.model_wrapped.basic_optimizer, self._decays)
        self._tr_loss += now.tr_loss
        self._total_loss_scalar = now.total_loss
        self._globalstep_last_logged = now.last_logged
        self._initial_global_step = now.initial_step
        self._initial_num_input_tokens_seen = now.initial_tokens
        if now.has_ended or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        if now.due:
            self._load_rng_state(str(folder))
            self._catch_up(now.due)
            self._rng_after_due = random_state()

    def _catch_up(self, due: tuple[Due, ...]) -> None:
        for position, one in enumerate(due):
            self.control.should_log = False
            self.control.should_evaluate, self.control.should_save = one.evaluate, one.save
            before = random_state()
            try:
                super()._maybe_log_save_evaluate(self._tr_loss, None, self.model_wrapped, None, 0.0, None, time.time())
            except EvaluationInterrupted:
                set_random_state(before)
                self._put_off = due[position:]
                self._save_if(stop=True, due=False)
                return

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self._rng_after_due is not None:
            set_random_state(self._rng_after_due)
        else:
            super()._load_rng_state(checkpoint)

    # What is in effect.

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        """The operations of a pass, from the whole model also where this process holds a part of it.

        As the Trainer estimates it, but with the parameters counted once.
        """
        if self._num_weights is None:
            self._num_weights = sharing.num_weights(self.model)
        main = inputs.get(getattr(self.model, "main_input_name", "input_ids"))
        return 0 if main is None else 6 * main.numel() * self._num_weights

    def strategy(self) -> str:
        """The strategy that the wrapped model shows, in words; refuses one that is not the one asked for."""
        return sharing.strategy(self)


class _Hooks(transformers.TrainerCallback):  # type: ignore[misc]  # As above.
    """Where the loop lets us in."""

    def __init__(self, trainer: RecoverableTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """The accumulators were just reset: take up those of the checkpoint."""
        self._trainer.take_up()

    def on_epoch_end(self, *_args: Any, **_kwargs: Any) -> None:
        """The next round of log, evaluation and save belongs to the epoch."""
        self._trainer._at_epoch_end = True  # noqa: SLF001 - This class is the Trainer's own hand.
