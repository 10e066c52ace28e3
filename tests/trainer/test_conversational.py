"""Conversations: which tokens are learned, and what bad rows are answered with."""

from pathlib import Path
from typing import Any

import pytest
from finetune_trainer.config import plan, training_arguments
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.prepared import Prepared
from finetune_trainer.tasks import prepared

from tests.trainer import language, tiny

pytestmark = pytest.mark.training

USER, ANSWER = {"role": "user", "content": " is the river old"}, {"role": "assistant", "content": " the river ."}
TALK = {"messages": [USER, ANSWER, USER, ANSWER]}
WHOLE = (
    "<|im_start|>user\n is the river old<|im_end|>\n<|im_start|>assistant\n the river .<|im_end|>\n"
    "<|im_start|>user\n is the river old<|im_end|>\n<|im_start|>assistant\n the river .<|im_end|>\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with model and data."""
    return language.furnished(tmp_path_factory.mktemp("language"))


def ready(place: Path, folder: Path, *rows: dict[str, Any], **more: Any) -> Prepared:
    data = {"uri": tiny.jsonl_file(folder / "rows.jsonl", rows or (TALK,)), **more.pop("data", {})}
    blocks = language.blocks(place, "talks", data=data, **more)
    whole = RunConfig.model_validate({**tiny.config().model_dump(by_alias=True, exclude_unset=True), **blocks})
    wanted = plan(whole, 1)
    return prepared(whole, wanted, training_arguments(wanted, folder / "out"), folder / "cache")


def learned(made: Prepared) -> tuple[str, str]:
    """The whole of the first row, and what is learned of it."""
    row = made.train_dataset[0]
    wanted = [label for label in row["labels"] if label != -100]
    return made.processing_class.decode(row["input_ids"]), made.processing_class.decode(wanted)


@pytest.mark.parametrize(
    ("tokenizer", "data", "part"),
    [
        ({}, {}, " the river .<|im_end|>\n"),
        ({"chatTemplate": language.MARKED}, {}, " the river .<|im_end|> the river .<|im_end|>"),
        ({"chatTemplate": language.MARKED}, {"learnedTurns": "last"}, " the river .<|im_end|>\n"),
        ({}, {"learnedTurns": "all"}, WHOLE),
    ],
    ids=["the last turn", "the assistant's turns where they are marked", "the last turn by wish", "all by wish"],
)
def test_what_is_learned_of_a_conversation(
    tokenizer: dict[str, Any], data: dict[str, Any], part: str, place: Path, tmp_path: Path
) -> None:
    made = ready(place, tmp_path, tokenizer=tokenizer, data=data)

    assert learned(made) == (WHOLE, part)


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"prompt": " the river", "completion": " is old ."}, " is old .<|im_end|>"),
        ({"prompt": [USER], "completion": [ANSWER]}, " the river .<|im_end|>\n"),
    ],
    ids=["texts", "turns"],
)
def test_a_prompt_is_not_learned(row: dict[str, Any], part: str, place: Path, tmp_path: Path) -> None:
    columns = {"columns": {"prompt": "prompt", "completion": "completion"}}

    assert learned(ready(place, tmp_path, row, data=columns))[1] == part


def test_packing_keeps_what_is_learned(place: Path, tmp_path: Path) -> None:
    made = ready(place, tmp_path, *[TALK] * 3, tokenizer={"packing": True, "maxLength": 128})

    assert learned(made) == (WHOLE * 2, " the river .<|im_end|>\n" * 2)


def test_a_known_template_is_marked_by_trl(place: Path, tmp_path: Path) -> None:
    from trl.chat_template_utils import qwen2_5_chat_template

    made = ready(place, tmp_path, tokenizer={"chatTemplate": qwen2_5_chat_template})

    assert learned(made)[1].count("the river .") == 2


@pytest.mark.parametrize(
    ("rows", "blocks", "words"),
    [
        ([{"messages": [USER]}], {}, "Row 1 of train ends with a turn that is not the assistant's."),
        ([TALK, {"messages": []}], {}, "Row 2 of train holds no conversation"),
        ([TALK], {"data": {"learnedTurns": "assistant"}}, "needs a chat template that marks the assistant's turns"),
        ([TALK], {"tokenizer": {"maxLength": 8}}, "Nothing is left to learn of train within 8 tokens."),
        (
            [TALK],
            {"tokenizer": {"chatTemplate": "{{ raise_exception('Roles must alternate.') }}"}},
            "Row 1 of train is refused by the chat template: Roles must alternate.",
        ),
        (
            [TALK],
            {
                "tokenizer": {
                    "chatTemplate": "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
                }
            },
            "written differently by the chat template with and without its answer",
        ),
        ([TALK], {"data": {"columns": {"prompt": "prompt"}}}, "takes either dataset.columns.messages, or"),
    ],
)
def test_a_conversation_that_cannot_be_learned_is_said(
    rows: list[dict[str, Any]], blocks: dict[str, Any], words: str, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ready(place, tmp_path, *rows, **blocks)

    assert words in raised.value.message


def test_a_tokenizer_without_template_is_said(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ready(place, tmp_path, model={"uri": tiny.gpt2(tmp_path / "gpt2")})

    assert raised.value.reason == "ChatTemplateMissing"
