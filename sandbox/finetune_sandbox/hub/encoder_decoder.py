"""A tiny random T5: an encoder-decoder, with a tokenizer of whole words that falls back to letters."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from finetune_sandbox.hub import models
from finetune_sandbox.hub.models import ALPHABET, DROPOUT, HEADS, HIDDEN, LAYERS, Shapes
from finetune_sandbox.hub.rows import LEXICON

POSITIONS = 512
BUCKETS = 8
SPACE = "▁"  # What sentencepiece writes for a space.
END = "</s>"


def t5(folder: Path, seed: int = 0) -> None:
    """A T5 of two layers on each side."""
    pieces = {f"{SPACE}{word}": -1.0 for word in LEXICON} | {SPACE: -9.0} | dict.fromkeys(ALPHABET, -10.0)
    vocabulary = [("<pad>", 0.0), (END, 0.0), ("<unk>", 0.0), *pieces.items()]
    config = {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "vocab_size": len(vocabulary),
        "d_model": HIDDEN,
        "d_kv": HIDDEN // HEADS,
        "d_ff": 2 * HIDDEN,
        "num_layers": LAYERS,
        "num_decoder_layers": LAYERS,
        "num_heads": HEADS,
        "relative_attention_num_buckets": BUCKETS,
        "dropout_rate": DROPOUT,
        "layer_norm_epsilon": 1e-6,
        "feed_forward_proj": "relu",
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "dtype": "float32",
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": POSITIONS,
        "clean_up_tokenization_spaces": False,
    }
    special = {"pad_token": "<pad>", "eos_token": END, "unk_token": "<unk>"}
    tensors = models.random_tensors(_shapes(len(vocabulary)), seed)
    models.write(folder, config, _tokenizer(vocabulary), settings | special, tensors)


def _tokenizer(vocabulary: list[tuple[str, float]]) -> Tokenizer:
    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, 1)]
    )
    tokenizer.add_special_tokens(["<pad>", END, "<unk>"])
    return tokenizer


def _shapes(words: int) -> Shapes:
    yield "shared.weight", (words, HIDDEN)
    for side, others in (("encoder", ()), ("decoder", ("EncDecAttention",))):
        for layer in range(LAYERS):
            root = f"{side}.block.{layer}.layer"
            attentions = ("SelfAttention", *others)
            for place, name in enumerate(attentions):
                for part in ("q", "k", "v", "o"):
                    yield f"{root}.{place}.{name}.{part}.weight", (HIDDEN, HIDDEN)
                yield f"{root}.{place}.layer_norm.weight", (HIDDEN,)
            dense = f"{root}.{len(attentions)}"
            yield f"{dense}.DenseReluDense.wi.weight", (2 * HIDDEN, HIDDEN)
            yield f"{dense}.DenseReluDense.wo.weight", (HIDDEN, 2 * HIDDEN)
            yield f"{dense}.layer_norm.weight", (HIDDEN,)
        yield f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", (BUCKETS, HEADS)
        yield f"{side}.final_layer_norm.weight", (HIDDEN,)
