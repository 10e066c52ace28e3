"""What happens beside training, one file for each. A new callback is one file and one line in `BUILDERS`.

A callback neither draws from the random state nor changes anything that training reads: a job ends with the same
weights with it and without it. What it adds to the history follows from the trainer's state alone, so that a restart
adds the same.
"""

from collections.abc import Callable
from typing import Any

from finetune_trainer.callbacks import confusion_matrix, later_nodes, log_line, prediction_table, speed, watching
from finetune_trainer.callbacks.scene import Scene

BUILDERS: tuple[Callable[[Scene], Any | None], ...] = (
    speed.callback,
    later_nodes.callback,
    log_line.callback,
    watching.callback,
    prediction_table.callback,
    confusion_matrix.callback,
)
"""Each gives its callback, or nothing where the job has no use for it; in the order in which they are called."""


def callbacks(scene: Scene) -> list[Any]:
    """Those that the job has a use for."""
    return [made for build in BUILDERS if (made := build(scene)) is not None]
