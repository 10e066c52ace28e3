"""`python -m bench.clocked -m MODULE ARGUMENTS`: run a program whose Trainer writes down when each step ended.

The same callback for both sides; it goes where transformers keeps the callbacks of every Trainer.
"""

import json
import os
import resource
import runpy
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEPS_FILE = "BENCH_STEPS"
"""Names the variable with the file that gets the times."""


def install() -> None:
    """Let every Trainer of this process tell the times."""
    import transformers
    from transformers import trainer

    class Clock(transformers.TrainerCallback):  # type: ignore[misc]  # transformers has no types here.
        """Notes when steps end, and what is logged."""

        def __init__(self) -> None:
            self.marks: list[Any] = []
            self.rows: list[Any] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Note it."""
            self.marks.append(mark())

        def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
            """Keep the row itself: callbacks that come later add to it."""
            self.rows.append(logs)

        def on_train_end(self, *_: Any, **__: Any) -> None:
            """Write it all down."""
            told = {"ended": times(self.marks), "peak_mib": peak_mib(), "rows": self.rows}
            Path(os.environ[STEPS_FILE]).write_text(json.dumps(told))

    trainer.DEFAULT_CALLBACKS.append(Clock)


def mark() -> Any:
    """Now; on a GPU, which works on after it was told what to do, an event among its work."""
    import torch

    if not torch.cuda.is_available():
        return time.monotonic()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch has no type for it.
    event.record()
    return event


def times(marks: Sequence[Any]) -> list[float]:
    """When the marks were passed, by this machine's clock."""
    if not marks or isinstance(marks[0], float):
        return list(marks)
    marks[-1].synchronize()
    now = time.monotonic()
    return [now - one.elapsed_time(marks[-1]) / 1000 for one in marks]


def peak_mib() -> float:
    """The most memory that was in use: the GPU's own where there is one, else this process's."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    module = sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    install()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
