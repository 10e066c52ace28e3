"""How training can fail, seen from whoever has to do something about it.

TrainerError
 +- ConfigurationError   the job as written cannot run: its author, exit code 78
 +- RetryLater           the surroundings failed: nobody, it is tried again, exit code 75
 +- TrainingFailed       the program failed: its author, counted, exit code 1
"""

from finetune_trainer.contract.outcome import OutcomeKind


class TrainerError(Exception):
    """An end with a reason (CamelCase) and a message (sentences: what is wrong, then the next step)."""

    kind = OutcomeKind.FAILED

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)  # Both, so that it can be sent from one process to another.
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class ConfigurationError(TrainerError):
    """The job as written cannot run."""

    kind = OutcomeKind.CONFIGURATION


class RetryLater(TrainerError):
    """The surroundings failed; the same job may run later."""

    kind = OutcomeKind.RETRY


class TrainingFailed(TrainerError):
    """The program failed, for example by a loss that is not a number."""
