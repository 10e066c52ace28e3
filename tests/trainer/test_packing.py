"""Packing: several texts in a sequence cost what they cost alone, and never see each other."""

from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data.packing import bins, refuse_mixing
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import prepared

from tests.trainer import language, tiny

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with model and data."""
    return language.furnished(tmp_path_factory.mktemp("language"))


def job(place: Path, **more: Any) -> RunConfig:
    """Texts, packed unless said otherwise."""
    wanted = {"tokenizer": {"maxLength": 64, "packing": True}, **more}
    return RunConfig.model_validate(
        {**tiny.config().model_dump(by_alias=True, exclude_unset=True), **language.blocks(place, "texts", **wanted)}
    )


def ready(config: RunConfig, place: Path) -> Prepared:
    wanted = plan(config, 1)
    return prepared(config, wanted, training_arguments(wanted, place / "out"), place / "cache")


def cost(made: Prepared, rows: int) -> tuple[float, int]:
    """The sum of the loss over all examples, in batches, and the count of what is predicted."""
    total, count = torch.tensor(0.0), 0
    for start in range(0, len(made.train_dataset), rows):
        batch = made.collator(
            [made.train_dataset[row] for row in range(start, min(start + rows, len(made.train_dataset)))]
        )
        with torch.no_grad():
            total += made.loss.total(made.outputs(made.model, batch), batch["labels"], training=False)
        count += int(made.loss.items(batch["labels"]))
    return float(total), count


def test_the_longest_goes_first_and_each_where_least_is_left() -> None:
    assert bins([3, 8, 5, 2, 4, 2], longest=10) == [[0, 5], [1, 3], [2, 4]]


def test_nothing_is_lost_and_nothing_is_too_long() -> None:
    lengths = [1 + (7 * number) % 13 for number in range(200)]

    found = bins(lengths, longest=16)

    whole = sorted(row for one in found for row in one)
    assert (whole, max(sum(lengths[row] for row in one) for one in found)) == ([*range(200)], 16)


def test_packed_texts_cost_what_they_cost_alone(place: Path) -> None:
    alone = cost(ready(job(place, tokenizer={"maxLength": 64}), place), 5)

    made = ready(job(place), place)

    assert (len(made.train_dataset) < 30, cost(made, 3)) == (True, (pytest.approx(alone[0], rel=1e-5), alone[1]))


def test_the_same_data_give_the_same_packs_anywhere(place: Path, tmp_path: Path) -> None:
    assert ready(job(place), place).fingerprint == ready(job(place), tmp_path).fingerprint


def test_a_model_that_would_mix_texts_is_refused(place: Path) -> None:
    from transformers import BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM

    models = (
        BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2)),
        MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1)),
    )
    reasons = []
    for model in models:
        with pytest.raises(ConfigurationError) as raised:
            refuse_mixing(job(place), model)
        reasons.append(raised.value.reason)

    assert reasons == ["PackingUnsuitable"] * 2
