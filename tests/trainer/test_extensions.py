"""The author's own code: found, called, exact over restarts, and refused in a sentence where it cannot be."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_trainer import extensions
from finetune_trainer.errors import ConfigurationError

from tests.trainer import tiny
from tests.trainer.resume_fixtures import changed
from tests.trainer.running import Job, result, rows

pytestmark = pytest.mark.training

OWN = '''
import json
import random

import torch
from torch.nn import functional
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState


class Counting(TrainerCallback, ExportableState):
    """Counts steps over all attempts, and stops after some."""

    def __init__(self, most, seen=0):
        self.most, self.seen = most, seen

    def on_step_end(self, args, state, control, **kwargs):
        self.seen += 1
        control.should_training_stop = self.seen >= self.most

    def state(self):
        return {"args": {"most": self.most}, "attributes": {"seen": self.seen}}


def share_of(predicted, right, of):
    random.random(), torch.rand(3)
    return {f"share_{of}": (predicted == of).mean()}


def collator(processing_class, upside_down):
    def batch(rows):
        ids = [row["input_ids"][:: -1 if upside_down else 1] for row in rows]
        padded = processing_class.pad({"input_ids": ids}, return_tensors="pt")
        return {**padded, "labels": torch.tensor([row["labels"] for row in rows])}
    return batch


def focal(outputs, labels, gamma):
    scores = functional.log_softmax(outputs["logits"].float(), dim=-1)
    told = scores.gather(1, labels[:, None]).squeeze(1)
    return -((1 - told.exp()) ** gamma * told).sum()
'''
ALL: dict[str, Any] = {
    "callbacks": [{"use": "own_code:Counting", "arguments": {"most": 18}}],
    "metrics": [{"use": "own_code:share_of", "arguments": {"of": 1}}],
    "collator": {"use": "own_code:collator", "arguments": {"upside_down": True}},
    "optimizer": {"use": "torch.optim:SGD", "arguments": {"momentum": 0.9}},
    "loss": {"use": "own_code:focal", "arguments": {"gamma": 2.0}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the author's module, as a volume holds it."""
    path = tmp_path / "code"
    path.mkdir()
    (path / "own_code.py").write_text(OWN)
    yield path
    sys.path[:] = [one for one in sys.path if one != str(path)]
    sys.modules.pop("own_code", None)


def test_all_of_the_authors_code_is_used_and_exact_over_restarts(job: Job, folder: Path) -> None:
    own = {"pythonPath": [str(folder)], **ALL}
    wanted = changed(dict(job.config), extensions=own, training={"logging_steps": 1})
    plain = replace(job, config=wanted, folder=job.folder / "plain").finish()
    again = replace(job, config=wanted, folder=job.folder / "again").disturbed((12,), "SIGKILL")

    measured = {name for row in rows(plain) for name in row}
    assert (result(again), rows(plain)[-1]["step"], "eval_share_1" in measured) == (result(plain), 18, True)


def test_what_a_metric_draws_is_put_back(folder: Path) -> None:
    import numpy as np
    import torch
    from finetune_trainer.measuring.showing import Answers

    one = tiny.config(extensions={"pythonPath": [str(folder)], "metrics": ALL["metrics"]})
    extensions.check(one)
    before = torch.get_rng_state()
    found = extensions.metrics(one, Answers(of=lambda _: (np.array([1, 1, 0, 1]), np.array([0, 0, 0, 0]))))(None)

    assert (found, torch.get_rng_state().equal(before)) == ({"share_1": 0.75}, True)


@pytest.mark.parametrize(
    ("wanted", "reason", "sentence"),
    [
        ({"loss": {"use": "own_cod:focal"}}, "ExtensionNotFound", "extensions.loss: own_cod:focal cannot be imported"),
        ({"callbacks": [{"use": "own_code:Nothing"}]}, "ExtensionNotFound", "extensions.callbacks: own_code:Nothing"),
        ({"metrics": [{"use": "brier"}]}, "ExtensionNotFound", "an entry point of that name in the group"),
        ({"optimizer": {"use": "own_code:OWN"}}, "ExtensionNotFound", "extensions.optimizer"),
        ({"collator": {"use": "own_code:__name__"}}, "ExtensionUnsuitable", "cannot be called. Correct it."),
    ],
)
def test_code_that_cannot_be_used_is_refused_with_its_field(
    wanted: dict[str, Any], reason: str, sentence: str, folder: Path
) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        extensions.check(tiny.config(extensions={"pythonPath": [str(folder)], **wanted}))

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        ("own_code:share_of", "extensions.callbacks: own_code:share_of cannot be called with its arguments"),
        ("builtins:dict", "builtins:dict is not a transformers.TrainerCallback"),
    ],
)
def test_a_callback_that_is_none_is_refused_before_it_is_made(use: str, sentence: str, folder: Path) -> None:
    one = tiny.config(extensions={"pythonPath": [str(folder)], "callbacks": [{"use": use}]})

    with pytest.raises(ConfigurationError, match=sentence):
        extensions.check(one)


def test_a_function_that_makes_no_callback_is_refused() -> None:
    one = tiny.config(extensions={"callbacks": [{"use": "time:monotonic"}]})

    with pytest.raises(ConfigurationError, match=r"is not a transformers\.TrainerCallback"):
        extensions.callbacks(one)
