"""A model, a tokenizer and data so small that training them takes a second, made on the spot."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from finetune_trainer.contract.run_config import RunConfig

WORDS = ("the", "a", "small", "large", "dog", "cat", "sees", "likes", "red", "blue", "house", "tree", "is", "not")
ROWS = tuple(
    {
        "text": " ".join(WORDS[(3 * row + 5 * place) % len(WORDS)] for place in range(3 + row % 5)),
        "other": " ".join(WORDS[(row + place) % len(WORDS)] for place in range(2 + row % 3)),
        "label": row % 2,
    }
    for row in range(32)
)


def tokenizer() -> Any:
    """A tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate((*special, *WORDS))}, "[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="[SEP]", model_max_length=32, model_input_names=inputs, **names
    )


def bert(folder: Path) -> str:
    """A classifier's beginning: an encoder with two layers, at a file:// uri."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(vocab_size=32, max_position_embeddings=32, **sizes, **dropout)
    return _written(BertForMaskedLM(config), folder)


def gpt2(folder: Path) -> str:
    """A causal language model with two layers, at a file:// uri."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    special = {"bos_token_id": 2, "eos_token_id": 3}
    config = GPT2Config(vocab_size=32, n_positions=32, n_embd=32, n_layer=2, n_head=2, **dropout, **special)
    return _written(GPT2LMHeadModel(config), folder)


def _written(model: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return f"file://{folder}"


def csv_file(path: Path, rows: Any = ROWS) -> str:
    """The rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return f"file://{path}"


def jsonl_file(path: Path, rows: Any = ROWS) -> str:
    """The rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"file://{path}"


def parquet_file(path: Path, rows: Any = ROWS) -> str:
    """The rows as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([*rows]), path)
    return f"file://{path}"


def json_file(path: Path, rows: Any = ROWS) -> str:
    """The rows as one JSON array."""
    path.write_text(json.dumps([*rows]))
    return f"file://{path}"


FORMATS: Mapping[str, Callable[..., str]] = {
    "csv": csv_file,
    "jsonl": jsonl_file,
    "parquet": parquet_file,
    "json": json_file,
}


def config(model: str = "file:///nowhere", dataset: str = "file:///nowhere", **blocks: Any) -> RunConfig:
    """A job; blocks are written as in run.json, and `dataset` may be given more fields by `data`."""
    data = {"uri": dataset, **blocks.pop("data", {})}
    task = blocks.pop("task", "text-classification")
    whole = {
        "job": {"name": "tiny", "namespace": "default", "uid": "u"},
        "runId": "tiny",
        "task": task,
        "model": {"uri": model},
        "dataset": data,
        **blocks,
    }
    return RunConfig.model_validate(whole)
