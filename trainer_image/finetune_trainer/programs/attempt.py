"""One attempt of a job that brings its own program: restore, run it, publish what it writes, put its end into words."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.contract import environment
from finetune_trainer.contract.outcome import (
    Checkpoint,
    CheckpointKind,
    Outcome,
    OutcomeKind,
    Resume,
    TrainerState,
)
from finetune_trainer.contract.program import ProgramRun
from finetune_trainer.errors import RetryLater
from finetune_trainer.pod import last_word
from finetune_trainer.pod.grace import FINAL_PATIENCE, Grace
from finetune_trainer.pod.progress import END_PATIENCE, START_PATIENCE, Heartbeat, ProgressBoard
from finetune_trainer.pod.stop_flag import StopFlag
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.programs.folder import ProgramFolder, Word, word_of, word_said
from finetune_trainer.programs.process import ProgramProcess, command_line
from finetune_trainer.recovery.artifact_store import ArtifactStore
from finetune_trainer.recovery.durable import NOT_DURABLE, durable_store, has_finished
from finetune_trainer.recovery.restoring import Belonging, Restored, Search, refuse_changes
from finetune_trainer.recovery.stores import Store
from finetune_trainer.recovery.uploader import Uploader
from finetune_trainer.tracking.history import History
from finetune_trainer.tracking.run import PREEMPTING_EXIT, Tracking

POLL_SECONDS = 0.2
THEIR_OWN = "the program's own"


def attempted(config: ProgramRun, here: Surroundings, flag: StopFlag) -> Outcome:
    """Run the author's program to its end; the outcome of this attempt."""
    board, heart = ProgressBoard(here, writes=True), Heartbeat(here, 0)
    attempt = ProgramAttempt(config=config, here=here, flag=flag, board=board, heart=heart)
    try:
        return attempt.outcome()
    finally:
        attempt.close_tracking(exit_code=1)


@dataclass(slots=True, kw_only=True)
class ProgramAttempt:
    """What the parts of one attempt share."""

    config: ProgramRun
    here: Surroundings
    flag: StopFlag
    board: ProgressBoard
    heart: Heartbeat
    tracking: Tracking | None = None
    uploader: Uploader | None = None
    last: Word | None = None
    """How far the program is, by its own word or its newest checkpoint."""

    def outcome(self) -> Outcome:
        """The attempt, told as it goes."""
        self.heart.go_on(START_PATIENCE)
        self.board.tell(state=TrainerState.RESTORING)
        store = self._store()
        if has_finished(store):
            return self._end(OutcomeKind.FINISHED, "AlreadyFinished", "The job's work was finished before.")
        folder = ProgramFolder(self.here.output_dir)
        folder.path.mkdir(parents=True, exist_ok=True)
        restored = self._restored(store, folder)
        if self._is_asked():
            return self._end(
                OutcomeKind.PREEMPTED, "Preempted", "Stopped on request before the program began; nothing was lost."
            )
        env = program_environment(self.config, restored, self.here)
        process = ProgramProcess(command_line(self.config.program, env), env, self.here.work_dir)
        self._open_uploads(store, restored)
        self.board.tell(state=TrainerState.TRAINING)
        self.heart.beat()
        code = self._watched(process, folder)
        self._look(folder, has_ended=True)
        if code == 0 and not self._stopped_early():
            return self._finished(store)
        return self._stopped() if self._is_asked() else self._failed(code, process)

    # Before the program.

    def _store(self) -> Store | None:
        """The job's one durable place."""
        store = durable_store(self.config, self.here, lambda: self.tracking, kept_by=keeper(self.config).run_id)
        if store is None:
            self.board.tell(not_durable=NOT_DURABLE)
        return store

    def _restored(self, store: Store | None, folder: ProgramFolder) -> Restored | None:
        """The checkpoint to go on from, where the program would have left it."""
        passed_over: list[str] = []
        found: Restored | None = None
        if store is not None:
            search = Search(store, self.here, self.config.checkpoint.keep, passed_over)
            found = search.newest(self.here.restored, self.config.job.uid)
        if found is not None:
            refuse_changes(found, self._belonging())
            found.folder.rename(folder.path / f"checkpoint-{found.manifest.step}")
            folder.done = found.manifest.step
        step, where = (found.manifest.step, found.where) if found is not None else (0, None)
        self.board.tell(step=step, resume=Resume(from_step=step, artifact=where, passed_over=tuple(passed_over)))
        return found

    def _belonging(self) -> Belonging:
        return Belonging(
            job_uid=self.config.job.uid,
            world_size=self.config.compute.nodes * self.config.compute.processes_per_node,
            # What a change of the program does to its training nobody but the program knows.
            mathematics=THEIR_OWN,
            dataset=THEIR_OWN,
            allow_change=self.config.checkpoint.allow_change,
        )

    def _open_uploads(self, store: Store | None, restored: Restored | None) -> None:
        if store is None:
            return
        if isinstance(store, ArtifactStore):
            self.tracking = Tracking(keeper(self.config), self.here, History(), restored=restored is not None)
            self.tracking.on_change = lambda degraded, _run: self.board.tell(tracking_degraded=degraded)
            self.tracking.open({"job": self.config.job.model_dump(mode="json"), "image": self.here.image})
        outbox = self.here.staging / "outbox"
        self.uploader = Uploader(store, self.config.checkpoint.keep, outbox, self._published)
        self.uploader.on_problem = lambda problem: self.board.tell(not_durable=problem)

    def _published(self, checkpoint: Checkpoint) -> None:
        self.board.tell(checkpoint=checkpoint)

    # While it runs.

    def _watched(self, process: ProgramProcess, folder: ProgramFolder) -> int:
        """Wait for the program's end, publishing what it completes; a wish to stop is passed on once."""
        told = False
        while (code := process.ended(POLL_SECONDS)) is None:
            if self._is_asked() and not told:
                told = True
                self.board.tell(state=TrainerState.STOPPING)
                if not (self.here.work_dir / "program" / "listens").exists():
                    process.ask_to_end(signal.Signals[self.config.program.stop_signal])
            if told and self._grace.left < self._upload_seconds:
                process.kill()
            self._look(folder, has_ended=False)
        return code

    def _look(self, folder: ProgramFolder, *, has_ended: bool) -> None:
        """Hear what the program says, and take over what it has completed."""
        said = word_said(self.here.work_dir / "program" / "progress.json")
        self._hear(said)
        if said is None:
            self.heart.beat()  # Who never says anything is never silent.
        found = folder.newest(has_ended=has_ended)
        if found is None:
            return
        step, path = found
        staged = self.here.staging / path.name
        if folder.snapshot(path, staged):
            folder.done = step
            self._hear(word_of(path) if said is None else None)
            self._send(step, staged)

    def _hear(self, word: Word | None) -> None:
        if word is None or word == self.last:
            return
        self.last = word
        self.heart.beat()
        self.board.tell(step=word.step, max_steps=word.total, epoch=word.epoch, loss=word.loss)

    def _send(self, step: int, staged: Path) -> None:
        if self.uploader is None:
            return
        kind = CheckpointKind.TERMINATION if self._is_asked() else CheckpointKind.PERIODIC
        draft = self._belonging().draft(step, kind, self.here.token)
        self.uploader.send(staged, draft)

    # The end.

    def _stopped_early(self) -> bool:
        """Whether a program that ended with 0 was stopped before its last step, by its own word."""
        word = self.last
        return self._is_asked() and word is not None and word.total is not None and word.step < word.total

    def _finished(self, store: Store | None) -> Outcome:
        self.heart.go_on(END_PATIENCE)
        if self.uploader is not None and not self._drained(self.uploader.final_patience):
            raise RetryLater(
                "CheckpointsNotPublished",
                "The program has finished, but its last checkpoint did not reach its durable place. The job is tried "
                "again and goes on from the newest one there.",
            )
        if store is not None:
            store.mark_finished(self.config.job.uid)
        if self.tracking is not None and not self.close_tracking(exit_code=0, seconds=FINAL_PATIENCE):
            raise RetryLater(
                "WandbUnreachable",
                "The program has finished, but W&B did not take the word of it. The job is tried again and goes on "
                "from its newest checkpoint.",
            )
        return self._end(OutcomeKind.FINISHED, "Finished", "The program has ended with 0.")

    def _stopped(self) -> Outcome:
        self.heart.go_on(END_PATIENCE)
        published = self.uploader is None or self._drained(self._grace.to_publish)
        self.close_tracking(exit_code=PREEMPTING_EXIT, preempted=True)
        durable = self.uploader.newest if self.uploader else None
        step = durable.step if durable is not None else self.board.resumed_at
        if self.uploader is None:
            return self._end(OutcomeKind.PREEMPTED, "PreemptedUnpublished", f"Stopped on request. {NOT_DURABLE}")
        if not published:
            message = (
                f"Stopped on request; the newest checkpoint could not be published within the grace period of "
                f"{self.config.grace_period_seconds} s. Give the pod a longer terminationGracePeriodSeconds. The "
                f"newest published one is of step {step}."
            )
            return self._end(OutcomeKind.PREEMPTED, "PreemptedUnpublished", message)
        message = f"Stopped on request; the newest checkpoint that the program completed is of step {step}."
        return self._end(OutcomeKind.PREEMPTED, "Preempted", message)

    def _failed(self, code: int, process: ProgramProcess) -> Outcome:
        self.heart.go_on(END_PATIENCE)
        if self.uploader is not None:
            self._drained(self.uploader.final_patience)
        said = f": {process.last_line.rstrip('.')}" if process.last_line else ""
        if code < 0:
            reason, how = "KilledBySignal", f"was ended by signal {-code}"
            then = "Look at the pod's log and its memory limit."
        else:
            reason, how = "ProgramFailed", f"ended with {code}"
            then = "The pod's log holds what it said before."
        return self._end(OutcomeKind.FAILED, reason, f"The program {how}{said}. {then}")

    def _drained(self, seconds: float) -> bool:
        assert self.uploader is not None  # noqa: S101 - Our own order of events.
        done = self.uploader.drain(seconds)
        self.uploader.close()
        return done

    @property
    def _upload_seconds(self) -> float:
        """What the last upload took; unknown counts as nothing."""
        return (self.uploader.seconds or 0.0) if self.uploader is not None else 0.0

    def _is_asked(self) -> bool:
        """Whether the pod was asked to stop; the program may have read of it before the signal came to us."""
        return self.flag.is_set or self.here.stop_requested.exists()

    @property
    def _grace(self) -> Grace:
        return Grace(self.config.grace_period_seconds, self.flag)

    def close_tracking(self, *, exit_code: int, preempted: bool = False, seconds: float = 30.0) -> bool:
        """End the part of our own run in this attempt; tell whether it arrived."""
        tracking, self.tracking = self.tracking, None
        if tracking is None:
            return True
        limit = self._grace.to_close if self._is_asked() else seconds
        return tracking.close(exit_code=exit_code, preempted=preempted, seconds=limit)

    def _end(self, kind: OutcomeKind, reason: str, message: str) -> Outcome:
        return last_word.outcome(kind, reason, message, self.here)


def keeper(config: ProgramRun) -> ProgramRun:
    """The same job with the run that its checkpoint artifacts are logged by: the program has its own to itself."""
    name = f"{config.wandb.name or os.environ.get('WANDB_NAME') or config.job.name}-checkpoints"
    settings = config.wandb.model_copy(update={"name": name, "job_type": "checkpoints"})
    return config.model_copy(update={"run_id": f"{config.run_id}-checkpoints", "wandb": settings})


def program_environment(config: ProgramRun, restored: Restored | None, here: Surroundings) -> dict[str, str]:
    """The program's variables: ours, what W&B needs to go on with the same run, and where its checkpoints lie."""
    found: dict[str, str] = {}
    if restored is not None:
        found[environment.RESUME_FROM] = str(here.output_dir / f"checkpoint-{restored.manifest.step}")
    # The SDK leaves the address of our own service there, and the program would send its rows through that.
    inherited = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    return {
        **inherited,
        "WANDB_RUN_ID": config.run_id,
        "WANDB_RESUME": "allow",
        environment.WORK_DIR: str(here.work_dir),
        environment.PROGRAM_CHECKPOINTS: str(here.output_dir),
        **found,
    }
