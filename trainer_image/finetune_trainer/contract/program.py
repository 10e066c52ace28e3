"""A job that brings its own program, and what its supervisor is told of it."""

from typing import Literal

from pydantic import Field

from finetune_trainer.contract.model import Model
from finetune_trainer.contract.run_config import CommonRun


class Program(Model):
    """The author's own program, in the place of task, model and dataset.

    It runs in the job's image, which must have the trainer installed.
    """

    command: tuple[str, ...] = Field(min_length=1)
    """The program and its first arguments; $(NAME) is replaced as in a pod."""
    args: tuple[str, ...] = ()
    """Further arguments; one that names $(FINETUNE_RESUME_FROM) is left out when there is no checkpoint."""
    stop_signal: Literal["SIGTERM", "SIGINT"] = "SIGTERM"
    """What tells the program that the pod is about to go.

    SIGINT ends a Python script in order, as Ctrl-C does, so that W&B still gets its last rows.
    """


class ProgramRun(CommonRun):
    """run.json of a job that brings its own program."""

    program: Program
    """The program."""
