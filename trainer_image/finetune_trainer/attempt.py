"""One attempt from restore to outcome, as one rank sees it."""

import shutil
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from finetune_trainer import extensions, outputs, predicting, saves, sources, weightless
from finetune_trainer.callbacks import callbacks, watching
from finetune_trainer.callbacks.scene import Scene
from finetune_trainer.config import Plan
from finetune_trainer.contract.outcome import (
    Checkpoint,
    Outcome,
    OutcomeKind,
    Resume,
    Run,
    TrainerState,
)
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.distributed import sharing
from finetune_trainer.distributed.gather import Gang, gang
from finetune_trainer.errors import RetryLater, TrainerError
from finetune_trainer.files import size_of
from finetune_trainer.models import adapters
from finetune_trainer.outputs import card
from finetune_trainer.pod import last_word
from finetune_trainer.pod.grace import FINAL_PATIENCE, Grace, patience
from finetune_trainer.pod.progress import END_PATIENCE, START_PATIENCE, Heartbeat, ProgressBoard
from finetune_trainer.pod.stop_flag import StopFlag
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.recovery.durable import NOT_DURABLE, durable_store, has_finished
from finetune_trainer.recovery.manifest import mathematics
from finetune_trainer.recovery.moment import Cadence, give_back_best
from finetune_trainer.recovery.preemption import Agreement, Leftover
from finetune_trainer.recovery.restoring import Belonging, Restored, Search, refuse_changes
from finetune_trainer.recovery.stores import Store
from finetune_trainer.recovery.uploader import Uploader
from finetune_trainer.run_settings import run_settings
from finetune_trainer.tracked import ProgressCallback, TrackingCallback
from finetune_trainer.tracking import dataset_out
from finetune_trainer.tracking.history import History, history
from finetune_trainer.tracking.models_out import ModelsOut
from finetune_trainer.tracking.run import PREEMPTING_EXIT, Tracking
from finetune_trainer.trainer import EvaluationInterrupted, Guard, RecoverableTrainer, Saved
from finetune_trainer.work import Work, arguments, work

TOOK_LONGER = (
    "Publishing it took longer than any before. Give the pod a longer terminationGracePeriodSeconds, or use "
    "checkpoint.volume."
)
NOT_BEGUN = "Stopped on request before the first step; nothing was lost."
NOT_TAKEN = (
    "Training is done, but W&B did not take the model and the last rows. The job is tried again and goes on from its "
    "newest checkpoint."
)


def attempted(config: RunConfig, here: Surroundings, flag: StopFlag, started: float) -> Outcome:
    """Restore, train and publish; the outcome of this rank."""
    wanted, args = arguments(config, here)
    ranks = gang(args)
    board, heart = ProgressBoard(here, writes=ranks.is_first), Heartbeat(here, ranks.rank)
    attempt = Attempt(config=config, here=here, flag=flag, gang=ranks, board=board, heart=heart)
    attempt.board.phase_took("import", time.monotonic() - started)
    try:
        return attempt.outcome(wanted, args, started)
    except TrainerError as problem:
        attempt.close_tracking(exit_code=int(last_word.EXIT_CODES[problem.kind]))
        raise
    except Exception:
        attempt.close_tracking(exit_code=1)
        raise


@dataclass(slots=True)
class Attempt:
    """What the parts of one attempt share."""

    config: RunConfig
    here: Surroundings
    flag: StopFlag
    gang: Gang
    board: ProgressBoard
    heart: Heartbeat
    tracking: Tracking | None = None
    uploader: Uploader | None = None
    trainer: RecoverableTrainer | None = None
    versions: sources.Versions = field(default_factory=dict)
    """Of what the job is made from."""
    dataset: str = ""
    """The fingerprint of the data."""

    def outcome(self, wanted: Plan, args: Any, started: float) -> Outcome:
        """The attempt, told as it goes."""
        self.heart.go_on(START_PATIENCE)
        agreement = Agreement(self.flag, self.gang)
        self.board.tell(state=TrainerState.RESTORING)
        store = self._store()
        if self._on_first(lambda: has_finished(store)):
            return self._end(OutcomeKind.FINISHED, "AlreadyFinished", "The job's work was finished before.")
        self._on_first(lambda: outputs.check(self.config, self.here))
        self._on_first(lambda: watching.check(self.config))
        saves.settle(args, are_read=self._on_first(lambda: saves.are_read(self.config)))
        began = time.monotonic()
        restored = self._restored(store)
        self.board.phase_took("restore", time.monotonic() - began)
        began = time.monotonic()
        with weightless.going_on(restored.folder if restored else None, self.config):
            todo = work(self._settled(restored), self.here, wanted, args)
        model = todo.ready.model
        self._on_first(lambda: outputs.check_room(self.config, self.here, adapters.final_size(model, self.config)))
        self.dataset = todo.fingerprint
        belonging = self._belonging(todo)
        if restored is not None:
            self._on_first(lambda: refuse_changes(restored, belonging))
        self.board.phase_took("data", time.monotonic() - began)
        if agreement.to_stop():
            return self._end(OutcomeKind.PREEMPTED, "Preempted", NOT_BEGUN)
        self._open_tracking(todo, restored)
        self.trainer = self._trainer(todo, agreement, store, belonging, started)
        self.board.tell(state=TrainerState.TRAINING)
        self.trainer.train(resume_from_checkpoint=str(restored.folder) if restored else None)
        return self._stopped() if self.trainer.stopped else self._finished(store, todo)

    # Before training.

    def _store(self) -> Store | None:
        """The job's one durable place."""
        store = durable_store(self.config, self.here, lambda: self.tracking)
        if store is None:
            self.board.tell(not_durable=NOT_DURABLE)
        return store

    def _on_first(self, act: Any) -> Any:
        """Let rank 0 do something; all ranks get its result, or raise what it raised."""
        answer: Any = None
        problem: TrainerError | None = None
        if self.gang.is_first:
            try:
                answer = act()
            except TrainerError as raised:
                problem = raised
        shared = self.gang.shared((answer, problem and (type(problem), problem.reason, problem.message)))
        if shared[1] is not None:
            kind, reason, message = shared[1]
            raise kind(reason, message)
        return shared[0]

    def _restored(self, store: Store | None) -> Restored | None:
        """What rank 0 restored, in this node's own directory; only rank 0's pod may have a store."""
        passed_over: list[str] = []
        into = self.here.restored

        def newest() -> Restored | None:
            if store is None:
                return None
            search = Search(store, self.here, self.config.checkpoint.keep, passed_over)
            return search.newest(into, self.config.job.uid)

        found: Restored | None = self._on_first(newest)
        if found is not None:
            found = replace(found, folder=into)
            self.gang.hand_out(into)
            if self.gang.local_rank == 0:
                give_back_best(into, self.here.output_dir)
            self.gang.barrier()
        step, where = (found.manifest.step, found.where) if found is not None else (0, None)
        self.board.tell(step=step, resume=Resume(from_step=step, artifact=where, passed_over=tuple(passed_over)))
        return found

    def _settled(self, restored: Restored | None) -> RunConfig:
        """The job with the versions that it began with, and what only rank 0 may fetch on every node."""
        earlier = sources.kept(restored.folder) if restored else {}
        self.versions = self._on_first(lambda: sources.versions(self.config, earlier))
        config = sources.settled(self.config, self.versions)
        self._on_first(lambda: sources.fetch(config))
        for place in sources.to_hand_out(config):
            self.gang.hand_out(place)
        return config

    def _belonging(self, todo: Work) -> Belonging:
        return Belonging(
            job_uid=self.config.job.uid,
            world_size=self.gang.world_size,
            mathematics=mathematics(self.config),
            dataset=todo.fingerprint,
            base=self._fingerprint_of_base(todo),
            allow_change=self.config.checkpoint.allow_change,
        )

    def _fingerprint_of_base(self, todo: Work) -> str:
        takes_part = self.gang.is_first or sharing.is_in_parts(todo.ready.model)
        return adapters.fingerprint(todo.ready.model) if takes_part else ""

    def _open_tracking(self, todo: Work, restored: Restored | None) -> None:
        rows = history(restored.folder) if restored else History()
        if self.gang.is_first:
            self.tracking = Tracking(self.config, self.here, rows, restored=restored is not None)
            self.tracking.on_change = self._tracking_changed
            self.tracking.files = {"model_architecture.txt": f"{todo.trainer.model}\n"}
            self.tracking.inputs = sources.used_artifacts(sources.settled(self.config, self.versions))
            if self.config.wandb.log_dataset:
                said = dataset_out.described(self.config, self.dataset, self.versions)
                self.tracking.dataset = partial(dataset_out.artifact, said)
        settings = {**run_settings(self.config, self.here, todo), "sources": dict(self.versions)}
        self._on_first(lambda: self._opened(settings))

    def _tracking_changed(self, degraded: str | None, run: Run | None) -> None:
        opened: dict[str, Any] = {"run": run, "resume": self._resume_by_the_run()} if run else {}
        self.board.tell(tracking_degraded=degraded, **opened)

    def _resume_by_the_run(self) -> Resume | None:
        """Where the attempt started, with how far the ones before had got; a pod killed at once told nobody else."""
        resume, reached = self.board.progress.resume, self.tracking.reached if self.tracking else None
        return resume.model_copy(update={"reached_step": reached}) if resume else None

    def _opened(self, settings: dict[str, Any]) -> None:
        if self.tracking is not None:
            self.tracking.open(settings)

    def _trainer(
        self, todo: Work, agreement: Agreement, store: Store | None, belonging: Belonging, started: float
    ) -> RecoverableTrainer:
        if self.gang.is_first and store is not None:
            keep = self.config.checkpoint.keep
            self.uploader = Uploader(store, keep, self.here.staging / "outbox", self._published)
            self.uploader.on_problem = lambda problem: self.board.tell(not_durable=problem)
        trainer = todo.trainer
        trainer.guard = Guard(
            to_stop=agreement.to_stop,
            may_save=lambda: self._leftover().may_save,
            saved=lambda saved: self._saved(saved, belonging),
            stepped=self.heart.beat,
            staging=self.here.staging,
            cadence=Cadence(self.config.checkpoint.every_steps),
            resumed=self._resumed,
            extras=self._extras,
        )
        trainer.add_callback(ProgressCallback(self.board, trainer, started))
        tracked = self.gang.shared(self.tracking is not None and self.tracking.wishes.mode != "disabled")
        scene = Scene(config=self.config, trainer=trainer, ready=todo.ready, tracking=self.tracking, is_tracked=tracked)
        for callback in (*callbacks(scene), *extensions.callbacks(self.config)):
            trainer.add_callback(callback)
        if self.tracking is not None:
            trainer.add_callback(TrackingCallback(self.tracking, self._models_out()))
        return trainer

    def _models_out(self) -> ModelsOut:
        assert self.tracking is not None  # noqa: S101 - Our own order of events.
        return ModelsOut(self.tracking, self.config)

    # While it trains.

    def _extras(self, checkpoint: Path) -> None:
        """What a later attempt needs beside the Trainer's own state."""
        sources.keep(self.versions, checkpoint)
        if self.tracking is not None:
            self.tracking.keep_history(checkpoint)

    def _resumed(self) -> None:
        """Give back the space of the checkpoint that this attempt began with."""
        if self.gang.local_rank == 0:
            shutil.rmtree(self.here.restored, ignore_errors=True)

    def _saved(self, saved: Saved, belonging: Belonging) -> None:
        """Hand a checkpoint that all ranks wrote over to the uploader."""
        self.gang.collect(saved.folder)
        if self.uploader is not None:
            draft = belonging.draft(saved.step, saved.kind, self.here.token)
            self.uploader.send(saved.folder, draft)

    def _published(self, checkpoint: Checkpoint) -> None:
        self.board.tell(checkpoint=checkpoint)
        step = self.trainer.pace.seconds if self.trainer else 0.0
        self.board.tell(grace_too_short=replace(self._needing(self._grace.whole), step_seconds=step).sentence())

    @property
    def _grace(self) -> Grace:
        return Grace(self.config.grace_period_seconds, self.flag)

    def _leftover(self) -> Leftover:
        """What fits into the rest of the grace period."""
        return self._needing(self._grace.left)

    def _needing(self, seconds: float) -> Leftover:
        """What fits into so many seconds, by what it took before."""
        return Leftover(
            seconds=seconds,
            save_seconds=self.trainer.save_seconds if self.trainer else None,
            upload_seconds=self.uploader.seconds if self.uploader else None,
        )

    # The end.

    def _stopped(self) -> Outcome:
        """Asked to stop: publish what was saved, as far as the time goes."""
        self.heart.go_on(END_PATIENCE)
        self.board.tell(state=TrainerState.STOPPING)
        assert self.trainer is not None  # noqa: S101 - Our own order of events.
        step, left = self.trainer.state.global_step, self._leftover()
        if self.uploader is not None:
            self.uploader.drain(self._grace.to_publish)
            self.uploader.close()
        self.close_tracking(exit_code=PREEMPTING_EXIT, preempted=True)
        if step == 0:  # In the evaluation of eval_on_start: the next attempt begins anew and does it whole.
            return self._end(OutcomeKind.PREEMPTED, "Preempted", NOT_BEGUN)
        durable = self.uploader.newest if self.uploader else None
        if not self.gang.is_first:
            return self._end(OutcomeKind.PREEMPTED, "Preempted", f"Stopped on request after step {step}.")
        safe = durable.step if durable is not None else self.board.resumed_at
        if safe == step:
            message = f"Stopped on request after step {step}; its checkpoint is published and no step is lost."
            return self._end(OutcomeKind.PREEMPTED, "Preempted", message)
        if self.uploader is None:
            message = f"Stopped on request after step {step}. {self.board.progress.not_durable}"
            return self._end(OutcomeKind.PREEMPTED, "PreemptedUnpublished", message)
        why = left.sentence() or TOOK_LONGER
        message = (
            f"Stopped on request after step {step}; the checkpoint of that step could not be published within the "
            f"grace period of {self.config.grace_period_seconds} s. {why} "
            f"The newest published one is of step {safe}."
        )
        self.board.tell(grace_too_short=why)
        return self._end(OutcomeKind.PREEMPTED, "PreemptedUnpublished", message)

    def _finished(self, store: Store | None, todo: Work) -> Outcome:
        """Publish the model and say so; unfinished work never ends with 0."""
        self.board.tell(state=TrainerState.FINISHING)
        assert self.trainer is not None  # noqa: S101 - Our own order of events.
        final = self.here.output_dir / "final"
        try:
            predictions = predicting.predicted(self.trainer, todo.ready)
        except EvaluationInterrupted:
            return self._stopped()
        self.heart.go_on(END_PATIENCE)
        adapters.save_final(self.trainer, final, self.config)
        if self.gang.is_first:
            predicting.write(predictions, final)
            self.trainer.state.save_to_json(str(self.here.output_dir / "trainer_state.json"))
        if self.uploader is not None:
            self.uploader.drain(self.uploader.final_patience)
            self.uploader.close()
        self._on_first(lambda: self._publish_final(store, final))
        step = self.trainer.state.global_step
        return self._end(OutcomeKind.FINISHED, "Finished", f"Training finished after step {step}.")

    def _publish_final(self, store: Store | None, final: Path) -> None:
        """Bring the model to all its places, close the run, and only then remember that the work is done."""
        assert self.trainer is not None  # noqa: S101 - Our own order of events.
        tracked = self.tracking is not None and self.tracking.wishes.mode != "disabled"
        models = self._models_out() if tracked else None
        if self.tracking is not None and models is not None:
            self.tracking.wait_until_open(FINAL_PATIENCE)
        card.write(final, self._story())
        best = self.trainer.args.load_best_model_at_end
        seconds = patience(FINAL_PATIENCE, size_of(final))
        if models is not None and not models.publish_final(final, is_best=best, patience=seconds):
            raise RetryLater("WandbUnreachable", NOT_TAKEN)
        outputs.deliver(
            outputs.Final(
                folder=final,
                config=self.config,
                here=self.here,
                run=self.tracking.run if self.tracking else None,
                artifact=models.published if models else None,
            )
        )
        if models is not None and not self.close_tracking(exit_code=0, seconds=seconds):
            raise RetryLater("WandbUnreachable", NOT_TAKEN)
        if store is not None:
            store.mark_finished(self.config.job.uid)

    def _story(self) -> card.Story:
        assert self.trainer is not None  # noqa: S101 - Our own order of events.
        state, run = self.trainer.state, self.tracking.run if self.tracking else None
        is_best = self.trainer.args.load_best_model_at_end and state.best_global_step
        return card.Story(
            config=self.config,
            log=state.log_history,
            steps=state.best_global_step if is_best else state.global_step,
            versions=self.versions,
            dataset=self.dataset,
            run_url=run.url if run is not None else None,
            image=self.here.image,
        )

    def close_tracking(self, *, exit_code: int, preempted: bool = False, seconds: float | None = None) -> bool:
        """End the run's part in this attempt; tell whether it arrived."""
        if self.tracking is None:
            return True
        limit = seconds if seconds is not None else self._grace.to_close if self.flag.is_set else 30.0
        return self.tracking.close(exit_code=exit_code, preempted=preempted, seconds=limit)

    def _end(self, kind: OutcomeKind, reason: str, message: str) -> Outcome:
        return last_word.outcome(kind, reason, message, self.here)
