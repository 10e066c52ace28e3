"""Images: read from a column, varied by chance while training, and made into what a model sees."""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.sources import folder

TAIL = 4096
"""How many of an image's last bytes tell it from others of the same length."""
LEAST_SHARE, SQUARENESS = 0.08, (3 / 4, 4 / 3)
"""The smallest part of an image that a random crop leaves, and the ratios of width to height; as is usual."""


def processor(config: RunConfig) -> Any:
    """What scales images to the size and range that the job's model knows."""
    import transformers

    own = config.tokenizer.uri is None
    uri = config.tokenizer.uri or config.model.uri
    place = folder(
        uri,
        config.model.revision if own else config.tokenizer.revision,
        what="model" if own else "tokenizer",
    )
    try:
        # Pillow on every machine: torchvision's numbers differ, and not every image has it.
        return transformers.AutoImageProcessor.from_pretrained(
            place, backend="pil", trust_remote_code=config.model.trust_remote_code
        )
    except (OSError, ValueError, ImportError, KeyError) as problem:
        raise ConfigurationError(
            "ImageProcessorNotFound",
            f"{uri} holds no image processor that transformers can read. Name a place that has one in tokenizer.uri.",
        ) from problem


def as_written(table: Any, column: str, root: Path | None) -> Any:
    """The table with its images as bytes or paths, not decoded; `root` is where relative paths begin."""
    import datasets

    feature = table.features[column]
    is_struct = isinstance(feature, dict) and {"bytes", "path"} <= feature.keys()
    if isinstance(feature, datasets.Value) and feature.dtype == "string":
        base = root or Path()
        table = table.map(
            lambda names: {column: [name and str(base / name) for name in names]}, input_columns=column, batched=True
        )
    elif not is_struct and not isinstance(feature, datasets.Image):
        raise ConfigurationError(
            "ImageMissing",
            f"Column {column} holds no images: neither image files nor their paths. Correct dataset.columns.image.",
        )
    return table.cast_column(column, datasets.Image(decode=False))


def mark(value: Mapping[str, Any] | None, position: int, split: str) -> bytes:
    """What tells an image from another; refuses what is no image, with its row counted from 1."""
    where = f"Row {position + 1} of {split}"
    correct = "Correct the row, or dataset.columns.image."
    if value is None:
        raise ConfigurationError("ImageMissing", f"{where} has no image. {correct}")
    try:
        content = value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
        Image.open(io.BytesIO(content)).close()
    except (OSError, UnidentifiedImageError) as problem:
        raise ConfigurationError("ImageUnreadable", f"{where} has no image that can be read. {correct}") from problem
    return len(content).to_bytes(8, "little") + content[-TAIL:]


def flipped(image: Image.Image, dice: np.random.Generator) -> Image.Image:
    """The image or, half of the times, its mirror image."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if dice.random() < 0.5 else image


def cropped(image: Image.Image, dice: np.random.Generator) -> Image.Image:
    """A part of the image; the processor scales it up again."""
    area = image.width * image.height * dice.uniform(LEAST_SHARE, 1.0)
    ratio = math.exp(dice.uniform(math.log(SQUARENESS[0]), math.log(SQUARENESS[1])))
    width = min(max(round(math.sqrt(area * ratio)), 1), image.width)
    height = min(max(round(math.sqrt(area / ratio)), 1), image.height)
    left, top = dice.integers(image.width - width + 1), dice.integers(image.height - height + 1)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


AUGMENTATIONS: Mapping[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = MappingProxyType(
    {"horizontal-flip": flipped, "random-crop": cropped}
)
"""By the names of `dataset.augment`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Makes an example of a row with a decoded image."""

    processor: Any
    column: str
    mode: str
    """RGB, or L for models of gray images."""
    augment: tuple[str, ...] = ()
    """The augmentations, in their order."""

    def __call__(self, row: dict[str, Any], dice: np.random.Generator) -> dict[str, Any]:
        """The pixels and the label."""
        image = row[self.column].convert(self.mode)
        for name in self.augment:
            image = AUGMENTATIONS[name](image, dice)
        return {"pixel_values": self.processor(image, return_tensors="np")["pixel_values"][0], "labels": row["labels"]}


def batch(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The batch of some examples."""
    pixels = torch.from_numpy(np.stack([np.asarray(row["pixel_values"], dtype=np.float32) for row in rows]))
    return {"pixel_values": pixels, "labels": torch.tensor([row["labels"] for row in rows])}
