"""One readable line for every logged row, in the pod's log."""

import sys
from collections.abc import Mapping
from typing import Any

import transformers

from finetune_trainer.callbacks.scene import Scene

NAMES = {
    "loss": "loss",
    "grad_norm": "gradient norm",
    "learning_rate": "learning rate",
    "steps_per_second": "steps/s",
    "tokens_per_second": "tokens/s",
}
MANY, TOO_MANY = 1e3, 1e9
LEFT_OUT = ("_runtime", "_per_second", "epoch", "total_flos")


def callback(scene: Scene) -> "LogLine | None":
    """On rank 0, in place of the dictionaries that transformers prints."""
    scene.trainer.remove_callback(transformers.PrinterCallback)
    return LogLine() if scene.trainer.is_world_process_zero() else None


class LogLine(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us.
    """Says where training is and what was measured."""

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_kwargs: Any) -> None:
        """Print the row, in one write: the SDK's threads and other ranks write into the same log."""
        if logs:
            sys.stdout.write(line(logs, state.global_step, state.max_steps) + "\n")
            sys.stdout.flush()


def line(logs: Mapping[str, Any], step: int, steps: int) -> str:
    """A row in words."""
    where = f"step {step}/{steps} ({100 * step / max(steps, 1):.0f} %)"
    if "loss" in logs:
        said = [f"{word} {_number(logs[name])}" for name, word in NAMES.items() if name in logs]
    else:
        said = [f"{name.replace('_', ' ')} {_number(value)}" for name, value in logs.items() if _is_told(name)]
    rate = logs.get("steps_per_second")
    left = [f"{_duration((steps - step) / rate)} left"] if rate and step < steps else []
    return ", ".join([where, *said, *left])


def _is_told(name: str) -> bool:
    return not name.endswith(LEFT_OUT)


def _number(value: Any) -> str:
    """Four digits; a thousand and more in whole numbers, for nobody reads tokens per second as 3.516e+04."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if MANY <= abs(value) < TOO_MANY else f"{value:.4g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"
