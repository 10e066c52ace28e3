"""Invented pictures of leaves: healthy ones are green, the others have spots, as in the data set of beans."""

import io
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

LABELS = ("angular_leaf_spot", "bean_rust", "healthy")
SPOTS = {"angular_leaf_spot": (90, 60, 30), "bean_rust": (200, 80, 20)}
SIZES: Mapping[str, int] = MappingProxyType({"train": 256, "validation": 32, "test": 32})
FEATURES = {
    "image_file_path": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
    "labels": {"names": list(LABELS), "_type": "ClassLabel"},
}


def beans(folder: Path, seed: int = 0, sizes: Mapping[str, int] = SIZES) -> None:
    """A data set repository; what its columns are is said in the Parquet files."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for part, (split, size) in enumerate(sizes.items()):
        table = pa.Table.from_pylist([_row(split, seed, part, number) for number in range(size)])
        told = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
        pq.write_table(table.replace_schema_metadata(told), folder / "data" / f"{split}-00000-of-00001.parquet")
    parts = "".join(f"  - split: {split}\n    path: data/{split}-*\n" for split in sizes)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{parts}---\nInvented pictures of leaves.\n"
    (folder / "README.md").write_text(card, encoding="utf-8")


def _row(split: str, seed: int, part: int, number: int) -> dict[str, object]:
    chance = np.random.default_rng((seed, part, number))
    label = int(chance.integers(len(LABELS)))
    name = f"{split}/{LABELS[label]}/{number}.png"
    picture = {"bytes": png(leaf(LABELS[label], chance)), "path": f"{number}.png"}
    return {"image_file_path": name, "image": picture, "labels": label}


def leaf(label: str, chance: np.random.Generator) -> NDArray[np.uint8]:
    """A picture of height x width x 3, a little different in size each time."""
    height, width = chance.integers(36, 49, size=2)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:] = (30, 120 + chance.integers(60), 40)
    if label in SPOTS:
        for _ in range(6):
            top, left = chance.integers(height - 6), chance.integers(width - 6)
            pixels[top : top + 6, left : left + 6] = SPOTS[label]
    return np.clip(pixels + chance.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The picture as a PNG file."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    file = io.BytesIO()
    file.write(b"\x89PNG\r\n\x1a\n")
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ):
        file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return file.getvalue()
