"""What one attempt is told beside the job."""

from dataclasses import dataclass

from finetune_operator import names


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt, as its pods are rendered."""

    number: int
    min_step: int | None = None
    """The step of the checkpoint that the status names."""
    min_digest: str | None = None
    """The digest of that checkpoint."""


def token(job_uid: str, number: int) -> str:
    """What tells the attempt's own words from those of a zombie; the same for every pass."""
    return f"{names.run_id(job_uid)}-{number}"
