"""One rank's process: hears signals before anything else, and never ends without having left a word."""

import faulthandler
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from finetune_trainer.contract.outcome import Outcome, OutcomeKind
from finetune_trainer.contract.program import ProgramRun
from finetune_trainer.errors import TrainerError
from finetune_trainer.files import is_full, write_whole
from finetune_trainer.pod import last_word
from finetune_trainer.pod.progress import Heartbeat
from finetune_trainer.pod.run_file import load
from finetune_trainer.pod.stop_flag import StopFlag
from finetune_trainer.pod.surroundings import Surroundings, surroundings
from finetune_trainer.process.leash import end_with_parent
from finetune_trainer.process.unused import leave_out, unused

log = logging.getLogger(__name__)

GOOD_ENDS = frozenset({OutcomeKind.FINISHED, OutcomeKind.PREEMPTED})
SIGNS_OF_A_LOST_PEER = ("connection closed by peer", "connection reset by peer", "socket closed", "broken pipe", "gloo")
SIGNS_OF_A_FULL_MEMORY = ("out of memory", "cannot allocate memory", "can't allocate memory")

LINE_BY_REQUEST = ("httpx", "httpx2")
"""Loggers that would put a line into the pod's log for everything that is asked of the Hub."""


def main() -> int:
    """Run one rank from run.json to its outcome."""
    started = time.monotonic()
    end_with_parent(os.getppid())
    here = surroundings()
    rank = int(os.environ.get("RANK", "0"))
    flag = StopFlag(here.stop_requested)
    flag.install()
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    Heartbeat(here, rank).beat()
    write_whole(here.ranks / f"{rank}.pid", str(os.getpid()))
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s [{rank}] %(name)s: %(message)s")
    for name in LINE_BY_REQUEST:
        logging.getLogger(name).setLevel(logging.WARNING)
    word = ended(Path(sys.argv[1]), here, flag, started)
    last_word.leave(word, here, rank)
    return 0 if word.kind in GOOD_ENDS else 1


def ended(path: Path, here: Surroundings, flag: StopFlag, started: float) -> Outcome:
    """Train, and put whatever happens into words."""
    try:
        config = load(path)
        if isinstance(config, ProgramRun):
            from finetune_trainer.programs import attempt as programs

            return programs.attempted(config, here, flag)
        leave_out(unused(config))
        from finetune_trainer.attempt import attempted

        return attempted(config, here, flag, started)
    except TrainerError as problem:
        return last_word.outcome(problem.kind, problem.reason, problem.message, here)
    except Exception as problem:
        log.exception("The rank failed.")
        return unexpected(problem, here)


def unexpected(problem: Exception, here: Surroundings) -> Outcome:
    """The outcome of an exception that nobody has put into words before."""
    text = str(problem)
    if isinstance(problem, MemoryError) or any(sign in text.lower() for sign in SIGNS_OF_A_FULL_MEMORY):
        return last_word.outcome(
            OutcomeKind.FAILED,
            "OutOfMemory",
            "Memory ran out. Lower training.per_device_train_batch_size (and raise gradient_accumulation_steps), or "
            "turn training.gradient_checkpointing on.",
            here,
        )
    if is_full(problem):
        return last_word.outcome(
            OutcomeKind.FAILED,
            "DiskFull",
            f"The pod's disk is full: {text.splitlines()[0] if text else type(problem).__name__}. Ask for more "
            "ephemeral-storage in podTemplate.resources, set training.save_total_limit, or use less data.",
            here,
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and any(sign in text.lower() for sign in SIGNS_OF_A_LOST_PEER):
        return last_word.outcome(
            OutcomeKind.PEER_LOST, "PeerLost", "Another process of the gang went away; its outcome says why.", here
        )
    where = traceback.extract_tb(problem.__traceback__)[-1]
    return last_word.outcome(
        OutcomeKind.FAILED,
        "TrainerFailed",
        f"{type(problem).__name__}: {text} (in {Path(where.filename).name}, line {where.lineno}). The pod's log holds "
        "the whole trace.",
        here,
    )


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # torch's threads may abort a process that ends in order; everything that matters has been written.
    os._exit(code)
