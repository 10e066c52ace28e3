"""Several short examples in one sequence, none of which sees another.

An example's positions begin at 0; transformers' attention takes a position that does not follow the one before it for
the beginning of another text, wherever a batch has no attention mask and the model fills no cache. `refuse_mixing`
asks the model itself.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.distributed import sharing
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED

COLUMNS = ("input_ids", "labels", "position_ids")


def bins(lengths: Sequence[int], longest: int) -> list[list[int]]:
    """Which examples share a sequence: the longest first, each where the least is left; in the data's own order."""
    found: list[list[int]] = []
    rooms: list[int] = []
    """The sizes of what is left anywhere, ascending, each once."""
    with_room: dict[int, list[int]] = {}
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        length = lengths[row]
        place = bisect_left(rooms, length)
        if place == len(rooms):
            found.append([])
            room, chosen = longest, len(found) - 1
        else:
            room = rooms[place]
            chosen = with_room[room].pop()
            if not with_room[room]:
                del with_room[room], rooms[place]
        found[chosen].append(row)
        if (left := room - length) > 0:
            if left not in with_room:
                insort(rooms, left)
            with_room.setdefault(left, []).append(chosen)
    return sorted(sorted(one) for one in found)


def packed(table: Any, longest: int) -> Any:
    """The examples of a table of `input_ids`, and `labels` where they differ, put together."""
    import datasets

    groups = bins(_lengths(table), longest)

    def joined(_rows: Any, numbers: list[int]) -> dict[str, list[list[int]]]:
        return _columns([table[groups[number]] for number in numbers])

    return table.select([group[0] for group in groups]).map(
        joined,
        batched=True,
        with_indices=True,
        remove_columns=table.column_names,
        features=datasets.Features({name: datasets.List(datasets.Value("int32")) for name in COLUMNS}),
        new_fingerprint=f"{table._fingerprint[:24]}{longest:08x}",  # noqa: SLF001 - It has no other name.
    )


def _columns(groups: list[dict[str, list[list[int]]]]) -> dict[str, list[list[int]]]:
    """The first token of an example is predicted by nothing: its label goes."""
    labels = [[[IGNORED, *one[1:]] for one in group.get("labels", group["input_ids"])] for group in groups]
    return {
        "input_ids": [list(chain(*group["input_ids"])) for group in groups],
        "labels": [list(chain(*one)) for one in labels],
        "position_ids": [list(chain(*(range(len(one)) for one in group["input_ids"]))) for group in groups],
    }


def _lengths(table: Any) -> list[int]:
    import pyarrow.compute as pc

    arrow = table.with_format("arrow")
    return [length for batch in arrow.iter(10_000) for length in pc.list_value_length(batch["input_ids"]).to_pylist()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """Pads sequences on the right, packed or not; what fills a packed one up is a text of its own."""

    pad_token_id: int
    """What fills the ends of input_ids."""
    multiple_of: int | None = None
    """Rounds lengths up, for kernels that like it."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of some rows."""
        length = max(len(row["input_ids"]) for row in rows)
        if self.multiple_of:
            length = -(-length // self.multiple_of) * self.multiple_of
        batch = {name: torch.tensor([self._padded(name, row[name], length) for row in rows]) for name in rows[0]}
        if "labels" not in batch:
            batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
        return batch

    def _padded(self, name: str, values: list[int], length: int) -> list[int]:
        missing = length - len(values)
        if name == "position_ids":
            return [*values, *range(missing)]
        filler = {"input_ids": self.pad_token_id, "labels": IGNORED}.get(name, 0)
        return [*values, *[filler] * missing]


def apart(model: Any, inputs: Mapping[str, Any]) -> Any:
    """What the model makes of a batch, packed or not; for `RightLoss.task_outputs`."""
    return model(**{name: value for name, value in inputs.items() if name != "labels"}, use_cache=False)


def refuse_mixing(config: RunConfig, model: Any) -> None:
    """Refuse a model that would let packed texts see each other; found out by letting it read two."""
    what = None
    if config.model.attn_implementation == "flash_attention_2":
        what = "is not supported with model.attnImplementation: flash_attention_2 yet. Use sdpa"
    elif _mixes(model):
        what = f"does not work with {config.model.uri}: its texts would see each other. Choose another model"
    if what is not None:
        raise ConfigurationError("PackingUnsuitable", f"tokenizer.packing {what}, or leave packing out.")


def _mixes(model: Any) -> bool:
    """Whether the second of two packed texts changes with the first."""
    positions = torch.tensor([[*range(8), *range(6)]], device=model.device)
    count = min(int(model.config.get_text_config().vocab_size), 64)
    second = [number % count for number in range(3, 9)]
    ids = [torch.tensor([[*((start + 5 * n) % count for n in range(8)), *second]]) for start in (1, 7)]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), sharing.whole_as_called(model):
            one, other = (
                apart(model, {"input_ids": each.to(model.device), "position_ids": positions})["logits"][0, 8:].float()
                for each in ids
            )
    except TypeError:
        return True  # A model without positions cannot know where a text begins.
    finally:
        model.train(was_training)
    return not torch.allclose(one, other, rtol=0, atol=1e-5 * float(one.abs().max()))
