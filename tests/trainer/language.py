"""A tiny chat model, conversations and preferences for tests, as the sandbox's hub has them, in folders."""

from pathlib import Path
from typing import Any

from finetune_sandbox.hub import chats, rows

from tests.trainer import tiny

MARKED = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}{{ '\n' }}"
    "{% else %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The chat template of the model, with the assistant's turns marked."""


def furnished(folder: Path) -> Path:
    """A folder with `llama`, `talks`, `pairs` and `texts`."""
    chats.llama(folder / "llama")
    for name, maker in (("talks", chats.conversations), ("pairs", chats.preferences), ("texts", rows.text)):
        for split, size in (("train", 40), ("validation", 10)):
            (folder / name).mkdir(exist_ok=True)
            tiny.jsonl_file(folder / name / f"{split}.jsonl", maker(split, size))
    return folder


def blocks(place: Path, what: str, **more: Any) -> dict[str, Any]:
    """The blocks of a job that trains the model on one of the data sets."""
    task, columns = {
        "talks": ("conversational", {"messages": "messages"}),
        "pairs": ("preference", {"chosen": "chosen", "rejected": "rejected"}),
        "texts": ("text-generation", {"text": ["text"]}),
    }[what]
    dataset = {"uri": f"file://{place / what}", "columns": columns, **more.pop("data", {})}
    return {"task": task, "model": {"uri": f"file://{place / 'llama'}"}, "dataset": dataset, **more}
