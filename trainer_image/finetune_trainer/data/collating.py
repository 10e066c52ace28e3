"""Batches padded to their own longest example; nothing is drawn, so a batch depends on its rows alone."""

from dataclasses import dataclass
from typing import Any

import torch

from finetune_trainer.loss import IGNORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """Pads on the right; labels are one for each row or each token, the tokens themselves where rows have none."""

    pad_token_id: int
    """What fills the ends of input_ids."""
    multiple_of: int | None = None
    """Rounds lengths up, for kernels that like it."""
    labels_rows: bool = False
    """Whether a list of labels belongs to the row as a whole, rather than to its tokens one by one."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of some rows."""
        length = max(len(row["input_ids"]) for row in rows)
        if self.multiple_of:
            length = -(-length // self.multiple_of) * self.multiple_of
        batch = {name: self._padded(name, rows, length) for name in rows[0] if name != "labels"}
        if isinstance(rows[0].get("labels"), list) and not self.labels_rows:
            batch["labels"] = self._padded("labels", rows, length)
        elif "labels" in rows[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in rows])  # Whole numbers stay such, in 64 bits.
        else:
            batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
        return batch

    def _padded(self, name: str, rows: list[dict[str, Any]], length: int) -> torch.Tensor:
        filler = {"input_ids": self.pad_token_id, "labels": IGNORED}.get(name, 0)
        return torch.tensor([[*row[name], *[filler] * (length - len(row[name]))] for row in rows], dtype=torch.long)
