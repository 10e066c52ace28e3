"""`python -m bench.clocked -m MODULE ARGUMENTS`: run a program whose Trainer writes down when each step ended.

The same callback for both sides; it goes where transformers keeps the callbacks of every Trainer.
"""

import json
import os
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any

STEPS_FILE = "BENCH_STEPS"
"""Names the variable with the file that gets the times."""


def install() -> None:
    """Let every Trainer of this process tell the times."""
    import transformers
    from transformers import trainer

    class Clock(transformers.TrainerCallback):  # type: ignore[misc]  # transformers has no types here.
        """Notes when steps end."""

        def __init__(self) -> None:
            self.ended: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Note it."""
            self.ended.append(time.monotonic())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            """Write it all down."""
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            Path(os.environ[STEPS_FILE]).write_text(json.dumps({"ended": self.ended, "peak_mib": peak}))

    trainer.DEFAULT_CALLBACKS.append(Clock)


if __name__ == "__main__":
    module = sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    install()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
