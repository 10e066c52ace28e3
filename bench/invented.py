"""`python -m bench.invented FOLDER`: a small BERT with sentences to classify, a small GPT-2 with texts to continue."""

import csv
import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path

WORDS = tuple(f"w{number}" for number in range(1000))
ROWS = 2000
LENGTHS = (30, 60)
TEXTS = 1500
TEXT_LENGTHS = (5, 200)
"""The lesser of two draws: many short texts, few long ones."""


def main(folder: Path) -> None:
    """Write them."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

    longest = {"model": 64, "language-model": 256}
    words = {name: _tokenizer(folder / name, most) for name, most in longest.items()}
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    bert = BertConfig(vocab_size=words["model"], max_position_embeddings=longest["model"], **sizes)
    BertForMaskedLM(bert).save_pretrained(folder / "model")
    gpt = GPT2Config(
        vocab_size=words["language-model"], n_positions=longest["language-model"], n_embd=128, n_layer=2, n_head=2
    )
    GPT2LMHeadModel(gpt).save_pretrained(folder / "language-model")
    dice = random.Random(1)  # noqa: S311 (sentences)
    sentences = [(" ".join(dice.choices(WORDS, k=dice.randint(*LENGTHS))), row % 2) for row in range(ROWS)]
    _write(folder / "data.csv", ("text", "label"), sentences)
    counts = [min(dice.randint(*TEXT_LENGTHS), dice.randint(*TEXT_LENGTHS)) for _ in range(TEXTS)]
    _write(folder / "texts.csv", ("text",), [(" ".join(dice.choices(WORDS, k=count)),) for count in counts])
    (folder / "tokens.json").write_text(json.dumps(sum(counts)))


def _tokenizer(folder: Path, longest: int) -> int:
    """One token for each word; how many there are."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate((*special, *WORDS))}, "[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "eos_token": "[SEP]",
    }
    PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=longest, **names).save_pretrained(folder)
    return len(special) + len(WORDS)


def _write(path: Path, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
