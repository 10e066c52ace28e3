"""A tiny random ViT for small images, and what scales images for it."""

import json
from pathlib import Path

from safetensors.numpy import save_file

from finetune_sandbox.hub.models import DROPOUT, HEADS, HIDDEN, LAYERS, Shapes, linear, norm, random_tensors

SIDE, PATCH, COLORS = 32, 8, 3


def vit(folder: Path, seed: int = 0) -> None:
    """A ViT of two layers that has never seen a label."""
    config = {
        "architectures": ["ViTModel"],
        "model_type": "vit",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * HIDDEN,
        "hidden_act": "gelu",
        "hidden_dropout_prob": DROPOUT,
        "attention_probs_dropout_prob": DROPOUT,
        "image_size": SIDE,
        "patch_size": PATCH,
        "num_channels": COLORS,
        "qkv_bias": True,
        "layer_norm_eps": 1e-12,
        "dtype": "float32",
    }
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": {"height": SIDE, "width": SIDE},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2), encoding="utf-8")
    (folder / "README.md").write_text("A tiny random model in the shape of the one of this name.\n", encoding="utf-8")
    save_file(random_tensors(_shapes(), seed), folder / "model.safetensors", metadata={"format": "pt"})


def _shapes() -> Shapes:
    """By the names that checkpoints on the Hub have."""
    yield "embeddings.cls_token", (1, 1, HIDDEN)
    yield "embeddings.position_embeddings", (1, (SIDE // PATCH) ** 2 + 1, HIDDEN)
    yield "embeddings.patch_embeddings.projection.weight", (HIDDEN, COLORS, PATCH, PATCH)
    yield "embeddings.patch_embeddings.projection.bias", (HIDDEN,)
    for layer in range(LAYERS):
        root = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            yield from linear(f"{root}.attention.attention.{part}", HIDDEN, HIDDEN)
        yield from linear(f"{root}.attention.output.dense", HIDDEN, HIDDEN)
        yield from linear(f"{root}.intermediate.dense", 2 * HIDDEN, HIDDEN)
        yield from linear(f"{root}.output.dense", HIDDEN, 2 * HIDDEN)
        yield from norm(f"{root}.layernorm_before")
        yield from norm(f"{root}.layernorm_after")
    yield from norm("layernorm")
