"""How large a model is trained, and how: names for both, and the arithmetic that follows from the architecture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RANK = 16
"""Of the matrices beside all linear layers but the output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A Llama's architecture, and how it is trained."""

    name: str
    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    vocabulary: int
    length: int
    """Tokens in a sequence."""
    batch: int
    """Sequences in a step."""
    steps: int
    settled: int
    """Steps that are not counted: caches fill, allocators warm up, a first checkpoint is taken."""
    recomputes: bool
    """Whether activations are computed once more for the gradient, which saves their memory."""
    turns: int
    """How often each side is run."""

    @property
    def architecture(self) -> Mapping[str, Any]:
        """The settings of a LlamaConfig."""
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": max(self.length, 8192),
            "rope_theta": 500_000.0,
            "tie_word_embeddings": False,
        }

    @property
    def linear(self) -> tuple[tuple[int, int], ...]:
        """What goes into the linear layers of one block, and what comes out of them."""
        keys = self.hidden // self.heads * self.key_value_heads
        square, narrow = (self.hidden, self.hidden), (self.hidden, keys)
        wide, back = (self.hidden, self.intermediate), (self.intermediate, self.hidden)
        return (square, narrow, narrow, square, wide, wide, back)

    def operations(self, attended: float) -> float:
        """Operations that one token costs, where a token attends to so many; what is recomputed is not counted.

        Frozen weights take part forward and in what flows back, trained ones in their own gradient too; looking an
        embedding up costs nothing.
        """
        frozen = self.layers * sum(into * out for into, out in self.linear) + self.hidden * self.vocabulary
        trained = self.layers * sum(RANK * (into + out) for into, out in self.linear)
        attention = 3 * 4 * self.layers * self.hidden * attended
        return 4.0 * frozen + 6.0 * trained + attention


TINY = Size(
    name="tiny",
    hidden=64,
    layers=2,
    heads=4,
    key_value_heads=2,
    intermediate=128,
    vocabulary=1024,
    length=128,
    batch=2,
    steps=30,
    settled=10,
    recomputes=True,
    turns=1,
)
"""To see on processors that everything runs; its figures mean nothing."""
LLAMA_8B = Size(
    name="8b",
    hidden=4096,
    layers=32,
    heads=32,
    key_value_heads=8,
    intermediate=14336,
    vocabulary=128256,
    length=4096,
    batch=4,
    steps=40,
    settled=10,
    recomputes=True,
    turns=1,
)
"""The published architecture of Llama 3.1 8B."""
SIZES = {size.name: size for size in (TINY, LLAMA_8B)}


def job(folder: Path, size: Size, *, model: str, threads: int) -> dict[str, Any]:
    """What run.json says for our trainer; the scripts beside it read the same file."""
    return {
        "task": "conversational",
        "model": {"uri": f"file://{folder / model}", "dtype": "bfloat16"},
        "dataset": {
            "uri": f"file://{folder / 'talks.jsonl'}",
            "columns": {"messages": "messages"},
            "learnedTurns": "all",
        },
        "tokenizer": {"packing": True, "maxLength": size.length},
        "peft": {"method": "lora", "r": RANK, "alpha": 2 * RANK},
        "compute": {"threadsPerProcess": threads},
        "training": {
            "max_steps": size.steps,
            "per_device_train_batch_size": size.batch,
            "train_sampling_strategy": "sequential",
            "learning_rate": 2e-4,
            "bf16": True,
            "gradient_checkpointing": size.recomputes,
            "logging_steps": 5,
        },
        "wandb": {"mode": "disabled"},
    }
