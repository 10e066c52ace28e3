"""`python -m bench.invented FOLDER`: a small BERT with its tokenizer, and sentences to classify."""

import csv
import random
import sys
from pathlib import Path

WORDS = tuple(f"w{number}" for number in range(1000))
ROWS = 2000
LENGTHS = (30, 60)


def main(folder: Path) -> None:
    """Write them."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate((*special, *WORDS))}, "[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=64, **names).save_pretrained(folder / "model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    config = BertConfig(vocab_size=len(special) + len(WORDS), max_position_embeddings=64, **sizes)
    BertForMaskedLM(config).save_pretrained(folder / "model")
    dice = random.Random(1)  # noqa: S311 (sentences)
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for row in range(ROWS):
            writer.writerow((" ".join(dice.choices(WORDS, k=dice.randint(*LENGTHS))), row % 2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
