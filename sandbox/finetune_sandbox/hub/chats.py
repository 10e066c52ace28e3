"""A tiny model for conversations in the shape of a Llama, and invented conversations and preferences.

The assistant answers with the word that the question asked for: a pattern that a tiny model can learn.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from finetune_sandbox.hub import models
from finetune_sandbox.hub.rows import BAD, GOOD, NOUNS, PLAIN, SIZES, VERBS, Row

HIDDEN, LAYERS, HEADS, POSITIONS = 32, 2, 2, 512
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def llama(folder: Path, seed: int = 0) -> None:
    """A Llama of two layers with a byte-level BPE tokenizer and a chat template."""
    vocabulary, merges = models.byte_pairs()
    for token in (START, END, PAD):
        vocabulary[token] = len(vocabulary)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(vocabulary),
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": POSITIONS,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "bos_token_id": vocabulary[START],
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[PAD],
        "dtype": "float32",
    }
    tokenizer = Tokenizer(BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([START, END, PAD])
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": POSITIONS,
        "bos_token": START,
        "eos_token": END,
        "pad_token": PAD,
        "chat_template": CHAT_TEMPLATE,
    }
    models.write(folder, config, tokenizer, settings, models.random_tensors(_shapes(len(vocabulary)), seed))


def _shapes(words: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (words, HIDDEN)
    for layer in range(LAYERS):
        root = f"model.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"{root}.self_attn.{part}.weight", (HIDDEN, HIDDEN)
        yield f"{root}.mlp.gate_proj.weight", (2 * HIDDEN, HIDDEN)
        yield f"{root}.mlp.up_proj.weight", (2 * HIDDEN, HIDDEN)
        yield f"{root}.mlp.down_proj.weight", (HIDDEN, 2 * HIDDEN)
        yield f"{root}.input_layernorm.weight", (HIDDEN,)
        yield f"{root}.post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)


def conversations(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Conversations of one or two questions and answers."""
    chance = random.Random(f"conversations/{split}/{seed}")
    return tuple({"messages": _talk(chance, chance.randint(1, 2))} for _ in range(size))


def preferences(split: str, size: int, seed: int = 0) -> tuple[Row, ...]:
    """Two conversations that differ in the last answer: the chosen one praises, the other one blames."""
    chance = random.Random(f"preferences/{split}/{seed}")
    return tuple(_pair(chance) for _ in range(size))


def _talk(chance: random.Random, questions: int) -> list[dict[str, str]]:
    return [turn for _ in range(questions) for turn in _exchange(chance)]


def _exchange(chance: random.Random) -> Iterator[dict[str, str]]:
    noun, verb, manner = chance.choice(NOUNS), chance.choice(VERBS), chance.choice(PLAIN)
    yield {"role": "user", "content": f" the {manner} {noun} {verb} one {chance.choice(NOUNS)} ."}
    yield {"role": "assistant", "content": f" the {noun} {verb} ."}


def _pair(chance: random.Random) -> Row:
    noun = chance.choice(NOUNS)
    question = {"role": "user", "content": f" is the {noun} {chance.choice(PLAIN)}"}
    answers = ({"role": "assistant", "content": f" the {noun} is {chance.choice(words)} ."} for words in (GOOD, BAD))
    chosen, rejected = ([question, answer] for answer in answers)
    return {"chosen": chosen, "rejected": rejected}


TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def smoltalk(folder: Path, seed: int = 0) -> None:
    """A data set of conversations."""
    _write(folder, conversations, pa.schema([("messages", TURNS)]), seed)


def ultrafeedback(folder: Path, seed: int = 0) -> None:
    """A data set of preferences."""
    _write(folder, preferences, pa.schema([("chosen", TURNS), ("rejected", TURNS)]), seed)


def _write(folder: Path, maker: Any, schema: pa.Schema, seed: int) -> None:
    for split, size in SIZES.items():
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([dict(row) for row in maker(split, size, seed)], schema=schema), path)
    files = [{"split": split, "path": f"data/{split}-*"} for split in SIZES]
    head = json.dumps([{"config_name": "default", "data_files": files}])
    (folder / "README.md").write_text(
        f"---\nconfigs: {head}\n---\nInvented rows in the schema of the data set of this name.\n"
    )
