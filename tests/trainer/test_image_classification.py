"""Images: however they are kept they are the same examples, and they vary by seed, epoch and number alone."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_sandbox.hub import leaves
from finetune_trainer.data import images
from finetune_trainer.data.keyed import generator
from PIL import Image

from tests.trainer import further, tiny
from tests.trainer.preparing import ready, refusal

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return further.blocks(tmp_path_factory.mktemp("vit"), "image-classification")


def picture(number: int = 0) -> Image.Image:
    dice = np.random.default_rng(number)
    return Image.open(io.BytesIO(leaves.png(leaves.leaf("bean_rust", dice))))


def files(folder: Path, *names: str) -> str:
    """Pictures in files, and the rows that name them."""
    for number, name in enumerate(names):
        picture(number).save(folder / name)
    rows = [{"image": name, "label": ("sick", "well")[number % 2]} for number, name in enumerate(names)]
    return tiny.jsonl_file(folder / "rows.jsonl", rows)


NAMED = {"image": "image", "label": "label"}


def test_pictures_of_different_sizes_make_a_batch(blocks: dict[str, Any], tmp_path: Path) -> None:
    made = ready(tmp_path, blocks)

    batch = made.collator([made.train_dataset[number] for number in range(3)])

    assert (tuple(batch["pixel_values"].shape), made.model.config.id2label[2]) == ((3, 3, 32, 32), "healthy")


@pytest.mark.parametrize(
    ("labels", "fields", "loss"),
    [
        (["sick", "well"], {"labelWeights": {"sick": 3.0}}, (3 * math.log(2) + math.log(2), 4.0)),
        ([["sick"], ["sick", "well"]], {}, (4 * math.log(2), 4.0)),
        ([0.5, 2.0], {}, (0.25 + 4.0, 2.0)),
    ],
    ids=["labels that weigh", "several labels", "amounts"],
)
def test_a_picture_is_answered_as_a_text_is(
    labels: list[Any], fields: dict[str, Any], loss: tuple[float, float], blocks: dict[str, Any], tmp_path: Path
) -> None:
    rows = [{"image": f"{number}.png", "label": label} for number, label in enumerate(labels)]
    for number in range(len(rows)):
        picture(number).save(tmp_path / f"{number}.png")
    dataset = {"uri": tiny.jsonl_file(tmp_path / "rows.jsonl", rows), "columns": NAMED, **fields}

    made = ready(tmp_path, blocks, dataset=dataset)

    batch = made.collator([made.train_dataset[number] for number in range(2)])
    nothing = torch.zeros(2, made.model.config.num_labels)
    assert made.preprocess_logits_for_metrics(nothing, batch["labels"])[:, :2].sum(0).tolist() == pytest.approx(loss)


def test_paths_are_read_from_the_folder_of_the_file_that_names_them(blocks: dict[str, Any], tmp_path: Path) -> None:
    uri = files(tmp_path, "a.png", "b.png")

    made = ready(tmp_path, blocks, dataset={"uri": uri, "columns": NAMED})

    assert [made.train_dataset[number]["labels"] for number in range(2)] == [0, 1]


def test_a_changed_picture_is_other_data(blocks: dict[str, Any], tmp_path: Path) -> None:
    uri = files(tmp_path, "a.png", "b.png")
    before = ready(tmp_path, blocks, dataset={"uri": uri, "columns": NAMED}).fingerprint
    picture(9).save(tmp_path / "b.png")

    assert ready(tmp_path / "elsewhere", blocks, dataset={"uri": uri, "columns": NAMED}).fingerprint != before


def test_a_gray_or_transparent_picture_is_seen_in_color(blocks: dict[str, Any], tmp_path: Path) -> None:
    uri = files(tmp_path, "a.png", "b.png")
    picture().convert("LA").save(tmp_path / "b.png")

    made = ready(tmp_path, blocks, dataset={"uri": uri, "columns": NAMED})

    assert made.train_dataset[1]["pixel_values"].shape == (3, 32, 32)


def test_training_varies_a_picture_by_the_epoch_and_an_evaluation_never(blocks: dict[str, Any], tmp_path: Path) -> None:
    wanted = {"augment": ["horizontal-flip", "random-crop"]}
    made = ready(tmp_path, blocks, dataset=wanted, training={"eval_strategy": "epoch"})
    seen: dict[int, Any] = {}
    for epoch in (0, 1, 0):
        made.train_dataset.begin_epoch(epoch)
        seen[epoch] = [made.train_dataset[1]["pixel_values"], seen.get(epoch, [None])[0]]
    held_out = [made.eval_dataset[0]["pixel_values"] for _ in range(2)]

    assert np.array_equal(*seen[0])
    assert not np.array_equal(seen[0][0], seen[1][0])
    assert np.array_equal(*held_out)


def test_a_crop_is_a_part_of_the_picture() -> None:
    sizes = [images.cropped(picture(), generator(0, epoch, 0)).size for epoch in range(50)]
    width, height = picture().size

    assert all(1 <= wide <= width and 1 <= high <= height for wide, high in sizes)
    assert len(set(sizes)) > 25


@pytest.mark.parametrize(
    ("damage", "reason", "sentence"),
    [
        (lambda folder: (folder / "b.png").unlink(), "ImageUnreadable", "Row 2 of train has no image that can be read"),
        (lambda folder: (folder / "b.png").write_text("?"), "ImageUnreadable", "Row 2 of train has no image that can"),
    ],
    ids=["absent", "no image"],
)
def test_a_picture_that_cannot_be_read_is_said_with_its_row(
    damage: Any, reason: str, sentence: str, blocks: dict[str, Any], tmp_path: Path
) -> None:
    uri = files(tmp_path, "a.png", "b.png")
    damage(tmp_path)

    problem = refusal(tmp_path, blocks, dataset={"uri": uri, "columns": NAMED})

    assert (problem.reason, problem.message.startswith(sentence)) == (reason, True), problem.message


def test_a_column_without_pictures_is_refused(blocks: dict[str, Any], tmp_path: Path) -> None:
    uri = tiny.jsonl_file(tmp_path / "rows.jsonl", ({"image": 3, "label": 0}, {"image": 4, "label": 1}))

    assert refusal(tmp_path, blocks, dataset={"uri": uri, "columns": NAMED}).reason == "ImageMissing"


def test_a_model_without_image_processor_is_refused(blocks: dict[str, Any], tmp_path: Path) -> None:
    problem = refusal(tmp_path, blocks, model={"uri": tiny.bert(tmp_path / "bert")})

    assert problem.reason == "ImageProcessorNotFound"
