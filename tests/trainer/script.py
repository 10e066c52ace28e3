"""`-m script FILE args...`: a script in a process that the forkserver made, as `python FILE args...` would run it.

With PAUSE_AT, a step, and GO_ON, a file, transformers' Trainer waits after that step until the file is there.
"""

import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import transformers
from transformers import trainer


class Pause(transformers.TrainerCallback):
    """Holds the Trainer after a step."""

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Wait for the file at that step."""
        while state.global_step == int(os.environ["PAUSE_AT"]) and not Path(os.environ["GO_ON"]).exists():
            time.sleep(0.01)


if __name__ == "__main__":
    trainer.DEFAULT_CALLBACKS.append(Pause)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
