"""What the Trainer of transformers gets wrong when it loads: checkpoints of some models, and batches of some workers.

Saved weights have the names that the model has on the Hub, which for ViT and others are not those of the parameters.
The Trainer reads them by the parameters' names, warns of what is missing, and would go on with fresh weights.
"""

from pathlib import Path
from typing import Any

import torch


class RightLoading:
    """Mixed into transformers.Trainer, before it."""

    args: Any
    model: Any
    state: Any
    _folder: Path | None = None
    """What is being loaded from."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._folder = Path(resume_from_checkpoint)
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]  # The Trainer's.

    def _load_best_model(self) -> None:
        self._folder = Path(self.state.best_model_checkpoint)
        super()._load_best_model()  # type: ignore[misc]  # The Trainer's.

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Load once more by the Hub's names, where some of the names were not the parameters'."""
        if load_result.unexpected_keys and self._folder is not None:
            by_the_hubs_names(self.model, self._folder)
        else:
            super()._issue_warnings_after_load(load_result)  # type: ignore[misc]  # The Trainer's.

    def _get_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's loader; workers that live on leave the training's random state alone.

        They would draw from it once in an attempt, and not once in an epoch, as those that a restart begins anew.
        """
        loader = super()._get_dataloader(*args, **kwargs)  # type: ignore[misc]  # The Trainer's.
        if self.args.dataloader_persistent_workers:
            loader.base_dataloader.generator = torch.Generator().manual_seed(self.args.seed)
        return loader


def by_the_hubs_names(model: Any, folder: Path) -> None:
    """Give a model the weights that `save_pretrained` wrote, every one of them."""
    saved = type(model).from_pretrained(folder, config=model.config, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())
