"""What whoever installs the operator decides, as one value; `main` reads it from the environment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The operator's own settings, as far as decisions depend on them."""

    trainer_image: str
    """The trainer's image for jobs that name none."""
    hub_endpoint: str | None = None
    """The Hub's mirror for jobs that name none."""
    wandb_base_url: str | None = None
    """The W&B server for jobs that name none."""
    trainer_env: tuple[tuple[str, str], ...] = ()
    """Names and values of variables for every trainer, below those of a job: a proxy, a certificate authority."""
