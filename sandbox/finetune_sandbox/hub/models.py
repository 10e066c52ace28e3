"""Tiny random models in the shapes of real ones, with tokenizers that know every invented word.

Written without torch, so that a hub starts in a second. The same seed gives the same bytes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece

from finetune_sandbox.hub.rows import LEXICON

HIDDEN, LAYERS, HEADS, POSITIONS, DROPOUT = 32, 2, 2, 128, 0.1
GPT2_POSITIONS = 1024
"""As many as the real one has: examples written for it run."""
Tensors = dict[str, NDArray[np.float32]]
Shapes = Iterator[tuple[str, tuple[int, ...]]]

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'-"


def bert(folder: Path, seed: int = 0) -> None:
    """A BERT of two layers with a WordPiece tokenizer."""
    words = (*ALPHABET, *(f"##{each}" for each in ALPHABET), *(each for each in LEXICON if len(each) > 1))
    vocabulary = {each: number for number, each in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words))}
    config = {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * HIDDEN,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": DROPOUT,
        "attention_probs_dropout_prob": DROPOUT,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "dtype": "float32",
    }
    tokenizer = _wordpiece(vocabulary)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": POSITIONS}
    special = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    write(folder, config, tokenizer, settings | special, random_tensors(_bert_shapes(len(vocabulary)), seed))
    (folder / "vocab.txt").write_text("".join(f"{each}\n" for each in vocabulary), encoding="utf-8")


def gpt2(folder: Path, seed: int = 0) -> None:
    """A GPT-2 of two layers with a byte-level BPE tokenizer; like the real one it has no padding token."""
    vocabulary, merges = byte_pairs()
    end = vocabulary["<|endoftext|>"]
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": len(vocabulary),
        "n_embd": HIDDEN,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_positions": GPT2_POSITIONS,
        "activation_function": "gelu_new",
        "resid_pdrop": DROPOUT,
        "embd_pdrop": DROPOUT,
        "attn_pdrop": DROPOUT,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": end,
        "eos_token_id": end,
        "dtype": "float32",
    }
    tokenizer = Tokenizer(BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    settings = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": GPT2_POSITIONS}
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    write(folder, config, tokenizer, settings | special, random_tensors(_gpt2_shapes(len(vocabulary)), seed))
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")


def write(folder: Path, config: Any, tokenizer: Tokenizer, settings: Any, tensors: Tensors) -> None:
    """Write a model repository."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    (folder / "README.md").write_text("A tiny random model in the shape of the one of this name.\n", encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.json"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def random_tensors(shapes: Shapes, seed: int) -> Tensors:
    """Weights as a fresh model has them: normal with 0.02, biases 0, norms 1."""
    chance = np.random.default_rng(seed)
    found: Tensors = {}
    for name, shape in shapes:
        if name.endswith("bias"):
            found[name] = np.zeros(shape, np.float32)
        elif "norm" in name.lower() or "ln_" in name:
            found[name] = np.ones(shape, np.float32)
        else:
            found[name] = chance.normal(0, 0.02, shape).astype(np.float32)
    return found


def _bert_shapes(words: int) -> Shapes:
    wide = 2 * HIDDEN
    yield "bert.embeddings.word_embeddings.weight", (words, HIDDEN)
    yield "bert.embeddings.position_embeddings.weight", (POSITIONS, HIDDEN)
    yield "bert.embeddings.token_type_embeddings.weight", (2, HIDDEN)
    yield from norm("bert.embeddings.LayerNorm")
    for layer in range(LAYERS):
        root = f"bert.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            yield from linear(f"{root}.attention.self.{part}", HIDDEN, HIDDEN)
        yield from linear(f"{root}.attention.output.dense", HIDDEN, HIDDEN)
        yield from norm(f"{root}.attention.output.LayerNorm")
        yield from linear(f"{root}.intermediate.dense", wide, HIDDEN)
        yield from linear(f"{root}.output.dense", HIDDEN, wide)
        yield from norm(f"{root}.output.LayerNorm")
    yield from linear("bert.pooler.dense", HIDDEN, HIDDEN)
    yield from linear("cls.predictions.transform.dense", HIDDEN, HIDDEN)
    yield from norm("cls.predictions.transform.LayerNorm")
    yield "cls.predictions.bias", (words,)


def _gpt2_shapes(words: int) -> Shapes:
    yield "wte.weight", (words, HIDDEN)
    yield "wpe.weight", (GPT2_POSITIONS, HIDDEN)
    for layer in range(LAYERS):
        root = f"h.{layer}"
        yield from norm(f"{root}.ln_1")
        yield from _convolution(f"{root}.attn.c_attn", HIDDEN, 3 * HIDDEN)
        yield from _convolution(f"{root}.attn.c_proj", HIDDEN, HIDDEN)
        yield from norm(f"{root}.ln_2")
        yield from _convolution(f"{root}.mlp.c_fc", HIDDEN, 4 * HIDDEN)
        yield from _convolution(f"{root}.mlp.c_proj", 4 * HIDDEN, HIDDEN)
    yield from norm("ln_f")


def linear(name: str, outputs: int, inputs: int) -> Shapes:
    """The parameters of a linear layer."""
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _convolution(name: str, inputs: int, outputs: int) -> Shapes:
    yield f"{name}.weight", (inputs, outputs)
    yield f"{name}.bias", (outputs,)


def norm(name: str) -> Shapes:
    """The parameters of a layer normalization."""
    yield f"{name}.weight", (HIDDEN,)
    yield f"{name}.bias", (HIDDEN,)


def _wordpiece(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a word piece, not a secret.
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """All bytes, and for each invented word the merges that lead to it from left to right."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    for word in LEXICON:
        grown = "Ġ"
        for letter in word:
            if (grown, letter) not in merges:
                merges.append((grown, letter))
            grown += letter
    tokens = dict.fromkeys([*pieces, *(one + other for one, other in merges), "<|endoftext|>"])
    return {each: number for number, each in enumerate(tokens)}, merges
