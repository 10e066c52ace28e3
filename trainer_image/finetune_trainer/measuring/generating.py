"""Texts that a model writes in an evaluation; nothing is drawn, so an evaluation leaves no trace in the training."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from finetune_trainer.distributed import sharing


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How an encoder-decoder writes."""

    max_new_tokens: int
    """The longest text."""
    num_beams: int
    """1 takes the likeliest word each time."""
    pad_token_id: int
    """What fills the ends."""
    first: int | None = None
    """The token that every text begins with: the language, for models of many."""

    def __call__(self, model: Any, inputs: dict[str, Any], *, in_step: bool) -> torch.Tensor:
        """The texts for a batch, all of one length; `in_step` when other processes hold parts of the model."""
        first = {} if self.first is None else {"forced_bos_token_id": self.first}
        written: torch.Tensor = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=self.max_new_tokens,
            num_beams=self.num_beams,
            do_sample=False,
            use_cache=True,
            synced_gpus=in_step,
            **first,
        )
        return functional.pad(written, (0, self.max_new_tokens + 1 - written.shape[1]), value=self.pad_token_id)


class Writes:
    """Mixed into transformers.Trainer, before it; `writing` makes it write in evaluations that have metrics."""

    writing: Writing | None = None
    model: Any
    _prepare_inputs: Any

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """One batch of an evaluation: the loss, the logits and then the texts, the labels."""
        loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)  # type: ignore[misc]  # The Trainer's.
        if self.writing is None or logits is None:
            return loss, logits, labels
        scores = logits[0] if isinstance(logits, tuple) else logits
        texts = self.writing(self.model, self._prepare_inputs(inputs), in_step=sharing.is_in_parts(self.model))
        return loss, (scores, texts), labels
