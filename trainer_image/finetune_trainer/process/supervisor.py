"""The pod's first process: starts the ranks, passes on the wish to stop, watches the steps, has the last word.

It never imports torch. SIGTERM goes to the ranks as SIGUSR1, by their own process ids and never to torchrun, which
would kill the data loaders and the checkpoint with them. The truth about the end is what the ranks left in writing;
torchrun's exit code is not.
"""

import contextlib
import functools
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from finetune_trainer.contract.outcome import ExitCode, Outcome, OutcomeKind, Progress
from finetune_trainer.contract.program import ProgramRun
from finetune_trainer.contract.run_config import CommonRun
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.files import write_whole
from finetune_trainer.pod import last_word
from finetune_trainer.pod.progress import last_beats, last_progress, progress_server
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.process.launch import rank_command, rank_environment, ranks_of_a_node
from finetune_trainer.process.leash import adopt_orphans, end_with_parent

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
DUMP_SECONDS = 2.0
"""How long ranks get to write their stacks before a hang is ended."""
NEVER_MET = (
    "The pods of the gang did not find each other. See whether the others run, and whether a NetworkPolicy lets the "
    "job's pods talk to each other."
)


@dataclass(slots=True)
class Supervisor:
    """One attempt on one node."""

    config: CommonRun
    config_path: Path
    here: Surroundings
    python: tuple[str, ...] = (sys.executable,)
    """The interpreter of the ranks."""
    owns_process: bool = False
    """Whether this process exists for the supervisor alone, so that every orphan that it gets is the ranks'."""
    _asked_at: float | None = None
    _told: set[int] = field(default_factory=set)
    _hung: str | None = None

    def run(self) -> ExitCode:
        """Run the ranks to their end and say how it went."""
        signal.signal(signal.SIGTERM, self._stop_was_asked)
        signal.signal(signal.SIGINT, self._stop_was_asked)
        self.here.ranks.mkdir(parents=True, exist_ok=True)
        if self.owns_process:
            adopt_orphans()
        ranks = self._started()  # Before there is a second thread, for a fork copies only one.
        with self._told_to_the_operator():
            word = self._ended(self._watched(ranks))
        progress = last_progress(self.here.progress_file) if self._is_first else None
        last_word.write_termination(word, progress, self.here.termination_log)
        log.info("%s: %s", word.reason, word.message)
        return last_word.EXIT_CODES[word.kind]

    @contextlib.contextmanager
    def _told_to_the_operator(self) -> Iterator[None]:
        """Serve the progress while the block lasts, on the first node."""
        server = progress_server(self.here.address, self.here.port, self._progress) if self._is_first else None
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()
                server.server_close()

    @property
    def _is_first(self) -> bool:
        return self.here.node_rank == 0

    def _progress(self) -> Progress:
        return last_progress(self.here.progress_file) or Progress(
            attempt=self.here.attempt, token=self.here.token, observed_at=datetime.now(UTC)
        )

    def _stop_was_asked(self, _signal: int, _frame: object) -> None:
        if self._asked_at is None:
            self._asked_at = time.time()
            write_whole(self.here.stop_requested, str(self._asked_at))

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            rank_command(self.config, self.config_path, self.here, self.python),
            env={**os.environ, **rank_environment(self.config, self.here, os.environ)},
            start_new_session=True,
            preexec_fn=functools.partial(end_with_parent, os.getpid()),  # noqa: PLW1509 - No other thread is there yet.
        )

    def _watched(self, ranks: subprocess.Popen[bytes]) -> int:
        """Wait for the ranks, passing the wish to stop on to those that have come up since."""
        started = time.time()
        while True:
            if self._asked_at is not None:
                self._pass_on_the_wish_to_stop(ranks)
            if (silence := self._silent_for(started)) is not None:
                self._end_the_hang(ranks, silence)
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = ranks.wait(POLL_SECONDS)
                self._sweep(ranks)
                return code
            self._reap_strays(ranks.pid)

    def _rank_pids(self) -> dict[int, int]:
        """The ranks that have registered, by process id."""
        return {int(path.read_text()): int(path.name.split(".")[0]) for path in self.here.ranks.glob("*.pid")}

    def _pass_on_the_wish_to_stop(self, ranks: subprocess.Popen[bytes]) -> None:
        if self._is_gathering():
            ranks.terminate()  # No rank is there to hear it, and none may come for long.
        for pid in self._rank_pids().keys() - self._told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
            self._told.add(pid)

    def _silent_for(self, started: float) -> float | None:
        """For how long no rank has made a step, when that is longer than the job bears."""
        if self._is_gathering():
            return None
        silence = time.time() - min(last_beats(self.here).values(), default=started)
        return silence if silence > self.config.hang_timeout_seconds else None

    def _is_gathering(self) -> bool:
        """Whether torchrun has started no rank, which it does when the gang's pods have all come; one may lack room."""
        is_met = self.config.compute.nodes > 1 and not isinstance(self.config, ProgramRun)
        return is_met and not self._rank_pids()

    def _end_the_hang(self, ranks: subprocess.Popen[bytes], silence: float) -> None:
        self._hung = (
            f"No step was made for {silence:.0f} s, longer than restart.hangTimeoutSeconds "
            f"({self.config.hang_timeout_seconds} s). The pod's log shows where each process stood."
        )
        log.error("%s", self._hung)
        for pid in self._rank_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            ranks.wait(DUMP_SECONDS)
        self._sweep(ranks)

    def _sweep(self, ranks: subprocess.Popen[bytes]) -> None:
        """End whatever of the ranks' session is left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(ranks.pid, signal.SIGKILL)
        for pid in self._rank_pids():
            if is_running(pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _reap_strays(self, child: int) -> None:
        """Collect orphans that have ended; never the child that is waited for."""
        if not self.owns_process:
            return
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != child:
                os.waitpid(ended.si_pid, os.WNOHANG)

    def _ended(self, code: int) -> Outcome:
        """What to say of ranks that have ended with a code."""
        if self._hung is not None:
            return last_word.outcome(OutcomeKind.HUNG, "Hung", self._hung, self.here)
        words = last_word.left_behind(self.here)
        expected = ranks_of_a_node(self.config)
        finished = len(words) == expected and all(word.kind is OutcomeKind.FINISHED for word in words)
        causes = [word for word in words if word.kind is not OutcomeKind.FINISHED]
        if finished:
            return words[0]
        if causes:
            worst = last_word.worst(causes) or causes[0]
            silent = self._silent_ranks() if worst.kind is OutcomeKind.PEER_LOST else []
            return self._lost_within(silent) if silent else worst
        return self._without_a_word(code)

    def _silent_ranks(self) -> list[int]:
        """The ranks that came up and left no word, where they are all of the gang."""
        if self.config.compute.nodes > 1:
            return []
        left = {int(path.name.split(".")[0]) for path in self.here.ranks.glob("*.outcome.json")}
        return sorted(set(self._rank_pids().values()) - left)

    def _lost_within(self, silent: list[int]) -> Outcome:
        """Say that processes of this pod took the others with them, for no other pod can say it."""
        who = f"Process {silent[0]}" if len(silent) == 1 else f"Processes {', '.join(map(str, silent))}"
        message = (
            f"{who} of this pod ended without a word, and the others could not go on. Look at the pod's log for the "
            "signal, and at its memory limit."
        )
        return last_word.outcome(OutcomeKind.FAILED, "KilledBySignal", message, self.here)

    def _without_a_word(self, code: int) -> Outcome:
        if self._asked_at is not None:
            message = "The trainer was stopped before it had started; nothing was lost."
            if self._stepped():
                message = "The trainer was stopped and could not write a checkpoint. The newest one before it is used."
            return last_word.outcome(OutcomeKind.PREEMPTED, "Preempted", message, self.here)
        if code > 0 and self._is_gathering():
            return last_word.outcome(OutcomeKind.PEER_LOST, "PeerLost", NEVER_MET, self.here)
        if self.config.compute.nodes > 1 and code != 0 and self._rank_pids():
            return last_word.outcome(
                OutcomeKind.PEER_LOST, "PeerLost", "Another pod of the gang went away; its outcome says why.", self.here
            )
        if code < 0:
            name = signal.Signals(-code).name
            reason = "KilledBySignal"
            message = f"The trainer's process was ended by {name}. Look at the pod's log and its memory limit."
        else:
            reason = "Crashed"
            message = f"The trainer's process ended with {code} and left no word. The pod's log holds its last lines."
        return last_word.outcome(OutcomeKind.FAILED, reason, message, self.here)

    def _stepped(self) -> bool:
        progress = last_progress(self.here.progress_file)
        return progress is not None and progress.step > 0


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def refused(problem: ConfigurationError, here: Surroundings) -> ExitCode:
    """Say that run.json cannot be read."""
    word = last_word.outcome(problem.kind, problem.reason, problem.message, here)
    last_word.write_termination(word, None, here.termination_log)
    sys.stderr.write(word.message + "\n")
    return ExitCode.CONFIGURATION
