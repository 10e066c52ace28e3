"""Summarization and translation: pairs of texts, what a model writes, and how it is measured."""

from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_trainer.loss import IGNORED
from finetune_trainer.measuring import text_metrics
from finetune_trainer.prepared import Prepared

from tests.trainer import further, tiny
from tests.trainer.preparing import ready, refusal

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return further.blocks(tmp_path_factory.mktemp("t5"), "summarization")


def batch(made: Prepared, *numbers: int) -> dict[str, torch.Tensor]:
    return made.collator([made.train_dataset[number] for number in numbers])


def test_the_decoder_sees_the_labels_one_place_later(blocks: dict[str, Any], tmp_path: Path) -> None:
    made = batch(ready(tmp_path, blocks), 0, 1, 2)
    seen, labels = made["decoder_input_ids"], made["labels"]

    assert seen[:, 0].tolist() == [0, 0, 0]
    assert seen[:, 1:].tolist() == labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, 0).tolist()


def test_each_side_is_as_long_as_its_own_longest_text(blocks: dict[str, Any], tmp_path: Path) -> None:
    made = ready(tmp_path, blocks)
    rows = [made.train_dataset[number] for number in range(3)]
    shapes = {name: values.shape[1] for name, values in made.collator(rows).items()}

    assert (shapes["input_ids"], shapes["labels"]) == tuple(
        max(len(row[name]) for row in rows) for name in ("input_ids", "labels")
    )


def test_a_prefix_stands_before_every_source_and_lengths_are_kept(blocks: dict[str, Any], tmp_path: Path) -> None:
    wanted = {"prefix": "the clock opens ", "maxLength": 8, "maxTargetLength": 3}

    made = ready(tmp_path, blocks, tokenizer=wanted)

    read = made.processing_class.decode(made.train_dataset[0]["input_ids"])
    assert (read.startswith("the clock opens the"), len(made.train_dataset[0]["labels"])) == (True, 3)


def test_translations_in_one_column_are_found_by_language(tmp_path: Path) -> None:
    made = ready(tmp_path, further.blocks(tmp_path, "translation"))

    assert made.processing_class.decode(made.train_dataset[0]["labels"]).startswith("the ")


def test_a_part_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    columns = {"source": "translation.en", "target": "translation.de"}

    problem = refusal(tmp_path, further.blocks(tmp_path, "translation"), dataset={"columns": columns})

    assert "no column translation.de; it has id, translation.en, translation.fr." in problem.message


def test_written_texts_are_compared_with_those_that_were_wanted() -> None:
    wanted = ["the river crosses the garden", "a quiet clock"]

    assert [measure(wanted, wanted) for measure in text_metrics.KNOWN.values()] == pytest.approx([100.0] * 5)
    assert text_metrics.rouge("rouge1", ["river", "クロック"], ["the rivers", "クロック"]) == pytest.approx(250 / 3)


def test_the_texts_of_an_evaluation_are_those_that_generate_gives(blocks: dict[str, Any], tmp_path: Path) -> None:
    made = ready(tmp_path, blocks)
    inputs = batch(made, 0, 1)
    before = torch.get_rng_state()
    made.model.eval()

    texts = made.writing(made.model, inputs, in_step=False)

    assert (texts.shape, torch.equal(before, torch.get_rng_state())) == ((2, 7), True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokenizer": {"sourceLanguage": "en", "targetLanguage": "fr"}}, "LanguageUnknown"),
        ({"evaluation": {"metrics": ["accuracy"]}}, "MetricUnknown"),
        ({"dataset": {"columns": {"source": "document", "target": "title"}}}, "ColumnNotFound"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    changes: dict[str, Any], reason: str, blocks: dict[str, Any], tmp_path: Path
) -> None:
    assert refusal(tmp_path, blocks, **changes).reason == reason


def test_a_model_that_only_reads_is_refused(blocks: dict[str, Any], tmp_path: Path) -> None:
    problem = refusal(tmp_path, blocks, model={"uri": tiny.bert(tmp_path / "bert")})

    assert problem.message.endswith("cannot do summarization. Choose another model or task.")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A translator of many languages that knows letters."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    folder = tmp_path_factory.mktemp("nllb")
    pieces = ("<s>", "<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz.")
    tokenizer = NllbTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 128}
    more = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    config = M2M100Config(vocab_size=len(tokenizer), pad_token_id=1, decoder_start_token_id=2, **sizes, **more)
    M2M100ForConditionalGeneration(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return further.blocks(folder, "translation")


def test_a_model_of_many_languages_is_told_which_two(many: dict[str, Any], tmp_path: Path) -> None:
    made = ready(tmp_path, many, tokenizer={"sourceLanguage": "eng_Latn", "targetLanguage": "fra_Latn"})
    english, french = made.processing_class.convert_tokens_to_ids(["eng_Latn", "fra_Latn"])
    row, texts = made.train_dataset[0], made.writing(made.model.eval(), batch(made, 0), in_step=False)

    assert (row["input_ids"][0], row["labels"][0], texts[0, 1].item()) == (english, french, french)


@pytest.mark.parametrize("tokenizer", [{}, {"sourceLanguage": "eng_Latn", "targetLanguage": "klingon"}])
def test_languages_that_are_not_named_or_not_known_are_refused(
    tokenizer: dict[str, str], many: dict[str, Any], tmp_path: Path
) -> None:
    assert refusal(tmp_path, many, tokenizer=tokenizer).reason == "LanguageUnknown"
