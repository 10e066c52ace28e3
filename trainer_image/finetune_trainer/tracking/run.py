"""The W&B run, spoken to by rank 0 alone; whatever happens to W&B, training goes on.

The run is opened with `must` after a restore, with `allow` by a later attempt that found nothing to restore, and with
`never` by a first attempt; a run that was deleted is followed by another. Rows go through `history`, so a connection
that comes late or again sends what is missing.
"""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb
from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

from finetune_trainer.contract.outcome import Run
from finetune_trainer.contract.run_config import CommonRun
from finetune_trainer.contract.tracking import run_ids
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.pod.surroundings import Surroundings
from finetune_trainer.redaction import redacted
from finetune_trainer.tracking import media
from finetune_trainer.tracking.history import GLOBAL_STEP, History, Row

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 15.0
INIT_TIMEOUT = 30
DELETED_TIMEOUT = 10
"""The SDK asks for a deleted id again and again until its time is over; then it says what W&B answered."""
DELETED = "previously created and deleted"
"""What W&B says of such an id."""
SETTLED_SECONDS = 120.0
"""After so long the server has a row that was sent; the SDK sends every fifteen seconds."""
TEARDOWN_SECONDS = 30.0
"""How long the end of the SDK's connection may take before another is opened beside it."""
LOST = (ConnectionError, HandleAbandonedError, MailboxClosedError)
"""What the SDK raises when its own process has ended, the one that speaks with the server."""
PREEMPTING_EXIT = 85
FINISHED_KEY = "finetune/finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The W&B settings after the precedence of spec over variable over default."""

    mode: str
    project: str
    entity: str | None
    log_model: str
    watch: str
    base_url: str


def wishes(config: CommonRun, env: Mapping[str, str] = os.environ) -> Wishes:
    """What the spec says, else the WANDB_ variable, else what W&B's documentation says."""
    spec = config.wandb
    mode = spec.mode.value if spec.mode is not None else env.get("WANDB_MODE") or "online"
    if mode == "online" and not env.get("WANDB_API_KEY"):
        mode = "disabled"
    return Wishes(
        mode=mode,
        project=spec.project or env.get("WANDB_PROJECT") or "huggingface",
        entity=spec.entity or env.get("WANDB_ENTITY") or None,
        log_model=spec.log_model or word(env.get("WANDB_LOG_MODEL"), "end"),
        watch=spec.watch or word(env.get("WANDB_WATCH"), "false"),
        base_url=spec.base_url or env.get("WANDB_BASE_URL") or "https://api.wandb.ai",
    )


def word(value: str | None, default: str) -> str:
    """A WANDB_ switch in one spelling."""
    return default if not value else {"true": "end", "0": "false"}.get(value.lower(), value.lower())


class Tracking:
    """One attempt's part of the run."""

    def __init__(self, config: CommonRun, here: Surroundings, rows: History, *, restored: bool) -> None:
        self._config = config
        self._here = here
        self._restored = restored
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._open = threading.Event()
        self._was_open = False
        self._sent = 0
        self._has = 0
        self._settled: deque[tuple[float, int]] = deque()
        self.files: Mapping[str, str] = {}
        """Texts for the run's files, by their names there."""
        self.wishes = wishes(config)
        self.history = rows
        self.run: Any = None
        self.inputs: tuple[str, ...] = ()
        """The artifacts that the job is made from."""
        self.dataset: Callable[[], Any] | None = None
        """Makes the artifact that describes the data, where the job wants one."""
        self.reached: int | None = None
        """The last step of an earlier attempt that the run had a row of when it was opened."""
        self.degraded: str | None = None
        self.on_change: Callable[[str | None, Run | None], None] = lambda _degraded, _run: None

    def open(self, settings: Mapping[str, Any]) -> None:
        """Open the run, or start to try again in the background when W&B cannot be reached."""
        if self.wishes.mode == "disabled":
            return
        self._settings = dict(settings)
        if not self._connected():
            threading.Thread(target=self._reconnect, name="tracking", daemon=True).start()

    def _reconnect(self, pause: float = RECONNECT_SECONDS) -> None:
        while not self._closing.wait(pause):
            pause = RECONNECT_SECONDS
            try:
                if self._connected():
                    return
            except ConfigurationError as refused:
                self._degrade(refused.message)
                return

    def _connected(self) -> bool:
        if self.wishes.mode == "online" and (silence := reachable(self.wishes.base_url, tries=2)) is not None:
            self._degrade(f"W&B cannot be reached at {self.wishes.base_url}: {silence}.")
            return False
        try:
            run = self._initialised()
            self._catch_up(run)
        except wandb.errors.AuthenticationError as refused:
            raise key_refused(self.wishes, str(refused)) from refused
        except (*LOST, ServerResponseError) as ended:
            self._leave(ended)
            return False
        except (wandb.errors.Error, OSError, TimeoutError) as problem:
            if is_refusal(str(problem)):
                raise key_refused(self.wishes, str(problem)) from problem
            self._degrade(f"W&B cannot be reached at {self.wishes.base_url}: {brief(problem)}.")
            return False
        self._use_inputs(run)
        self._open.set()
        self._recover(run)
        return True

    def _catch_up(self, run: Any) -> None:
        """Send what the server lacks, and from then on every row as it comes."""
        with self._lock:
            reached = run.summary.get(GLOBAL_STEP)
            if not self._was_open:
                self.reached = reached if isinstance(reached, int) else None
            self._was_open = True
            self._sent = run.starting_step
            self._send_missing(run)
            self._save_files(run)
            self.run = run

    def lose(self, run: Any, problem: Exception) -> None:
        """Give up a run whose process has ended, and open it again in the background."""
        with self._lock:
            if self.run is not run:
                return  # Somebody else has noticed, or it is closed.
            self.run = None
            self._open.clear()
            self._leave(problem)
        threading.Thread(target=self._reconnect, args=(0.0,), name="tracking", daemon=True).start()

    def _leave(self, problem: Exception) -> None:
        """Leave a connection that is broken: the SDK would use it for the next run too."""
        self._settled.clear()  # What was sent may have ended with the process.
        bounded(wandb.teardown, TEARDOWN_SECONDS)
        self._degrade(f"W&B's own process ended ({brief(problem)}); it is started again and gets all rows.")

    def _use_inputs(self, run: Any) -> None:
        """Tell the run what it is made from; the same again changes nothing."""
        if self.wishes.mode != "online":
            return
        for used in (*self.inputs, *([self.dataset()] if self.dataset else ())):
            try:
                run.use_artifact(used)
            except (wandb.errors.Error, ValueError, OSError, *LOST) as problem:
                name = used if isinstance(used, str) else used.name
                log.warning("%s was not noted as an input of the run: %s", name, brief(problem))

    def _initialised(self) -> Any:
        """The run, by the rule of which attempt may meet it; another one when W&B says that it was deleted."""
        is_known = self._was_open or self._here.attempt > 1
        resume = "must" if self._restored else "allow" if is_known else "never"
        first, second = run_ids(self._config.run_id)
        try:
            return self._opened(first, resume)
        except wandb.errors.Error as refused:
            if DELETED not in str(refused):
                raise
        self._degrade(
            "The W&B run of this job was deleted, and W&B gives a deleted id to nobody; "
            f"all rows go to a new run, {second}."
        )
        bounded(wandb.teardown, TEARDOWN_SECONDS)
        return self._opened(second, resume)

    def _opened(self, name: str, resume: str) -> Any:
        """The run of that id; made when there should be one and is none, gone on with when there should be none."""
        try:
            return self._init(name, resume, INIT_TIMEOUT)
        except wandb.errors.UsageError as refused:
            if resume != "must" and "already exists" not in str(refused):
                raise
            bounded(wandb.teardown, TEARDOWN_SECONDS)  # The SDK's process holds the refused run's id for itself.
            return self._init(name, "allow", DELETED_TIMEOUT if resume == "must" else INIT_TIMEOUT)

    def _init(self, name: str, resume: str, seconds: int) -> Any:
        spec = self._config.wandb
        run = wandb.init(
            id=name,
            resume=resume,  # type: ignore[arg-type]
            project=self.wishes.project,
            entity=self.wishes.entity,
            name=spec.name or os.environ.get("WANDB_NAME") or self._config.job.name,
            group=spec.group or os.environ.get("WANDB_RUN_GROUP"),
            job_type=spec.job_type or os.environ.get("WANDB_JOB_TYPE"),
            notes=spec.notes or os.environ.get("WANDB_NOTES"),
            tags=spec.tags or None,
            mode=self.wishes.mode,  # type: ignore[arg-type]
            config=self._settings,
            dir=str(self._here.work_dir),
            settings=wandb.Settings(init_timeout=seconds, base_url=self.wishes.base_url),
            allow_val_change=True,
        )
        run.define_metric(GLOBAL_STEP)
        run.define_metric("*", step_metric=GLOBAL_STEP, step_sync=True)
        return run

    def log(self, new: Row) -> None:
        """Add a row to the history and send it, unless the server has it."""
        with self._lock:
            self.history.add(new)
            if (run := self.run) is None:
                return
            try:
                self._send_missing(run)
            except (wandb.errors.Error, *LOST) as problem:
                self.lose(run, problem)

    def _send_missing(self, run: Any) -> None:
        for number in range(self._sent, len(self.history.rows)):
            row = self.history.rows[number]
            run.log({name: media.displayed(name, one) for name, one in row.items()}, step=number, commit=True)
        if self._sent < len(self.history.rows):
            self._sent = len(self.history.rows)
            self._settled.append((time.monotonic() + SETTLED_SECONDS, self._sent))

    def _save_files(self, run: Any) -> None:
        for name, text in self.files.items():
            path = Path(run.dir) / name  # The SDK links to a file from elsewhere, and warns of it in the pod's log.
            path.write_text(text)
            run.save(str(path), base_path=run.dir, policy="now")

    def keep_history(self, checkpoint: Path) -> None:
        """Put the rows into a checkpoint; tables and histograms only as long as the server may not have them."""
        with self._lock:
            settled = 0
            while self._settled and self._settled[0][0] <= time.monotonic():
                settled = self._settled.popleft()[1]
            self._has = max(self._has, settled)
            self.history.write(checkpoint, settled=self._has)

    def wait_until_open(self, seconds: float) -> bool:
        """Wait for a connection that comes late; tell whether it came."""
        return self._open.wait(seconds)

    def _degrade(self, sentence: str) -> None:
        sentence = redacted(f"{sentence} Training goes on.")
        log.warning("%s", sentence)
        self.degraded = sentence
        self.on_change(sentence, None)

    def _recover(self, run: Any) -> None:
        self.degraded = None
        self.on_change(None, Run(id=run.id, url=run.url or None))

    def close(self, *, exit_code: int, preempted: bool = False, seconds: float | None = None) -> bool:
        """End the attempt's part: finished, failed, or preempting and to be continued; tell whether it arrived."""
        self._closing.set()
        run, self.run = self.run, None
        if run is None:
            return False

        def end() -> None:
            if preempted:
                with contextlib.suppress(wandb.errors.Error):
                    run.mark_preempting()
            elif exit_code == 0:
                run.summary[FINISHED_KEY] = self._config.job.uid
            run.finish(exit_code=exit_code)

        return bounded(end, seconds)


def bounded(act: Callable[[], object], seconds: float | None) -> bool:
    """Do something that may hang, for at most so long; tell whether it came to its end."""
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            act()
        except Exception as problem:  # noqa: BLE001 - W&B may fail in any way; that never decides about training.
            failures.append(problem)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    for problem in failures:
        log.warning("W&B: %s", brief(problem))
    return not thread.is_alive() and not failures


def is_refusal(text: str) -> bool:
    """Whether W&B's answer was about the key."""
    return any(sign in text for sign in ("401", "invalid API key", "API key must have", "user is not logged in"))


def key_refused(settings: Wishes, text: str) -> ConfigurationError:
    """The author's mistake: a key that W&B does not take."""
    del text
    return ConfigurationError(
        "WandbKeyRefused",
        f"W&B at {settings.base_url} refused the API key. Put a valid one into the secret that "
        "spec.wandb.secretRef names.",
    )


def brief(problem: BaseException) -> str:
    """The first line of an exception's text."""
    return (str(problem).splitlines() or [type(problem).__name__])[0][:200].rstrip(".")


def reachable(base_url: str, tries: int = 4) -> str | None:
    """Why a server does not answer; nothing when it does. Any HTTP answer counts."""
    import urllib.error
    import urllib.request

    problem: str | None = None
    for attempt in range(tries):
        try:
            with urllib.request.urlopen(base_url, timeout=5):  # noqa: S310 - The address is the job author's.
                return None
        except urllib.error.HTTPError:
            return None
        except OSError as failure:
            problem = str(failure)
        if attempt + 1 < tries:
            time.sleep(min(2**attempt, 8) / 2)
    return problem
