"""Conversations as tokens, and which of these are learned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.loss import IGNORED

Turns = list[dict[str, Any]]
Example = tuple[list[int], list[int]]
"""Tokens, and their labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chats:
    """How a job's conversations are written and what is learned of them."""

    tokenizer: Any
    learned: str
    """assistant, last or all."""
    template: str | None
    """The chat template, with the assistant's turns marked where they are what is learned."""

    def whole(self, turns: Turns, where: str) -> Example:
        """A conversation; `where` begins a message about it."""
        if self.learned == "last":
            if turns[-1]["role"] != "assistant":
                raise refused(where, "ends with a turn that is not the assistant's. Add the answer, or remove the row.")
            return self.answer(turns[:-1], turns[-1:], where)
        encoded = self._encoded(turns, where, return_assistant_tokens_mask=self.learned == "assistant")
        ids = list(encoded["input_ids"])
        marks = [1] * len(ids) if self.learned == "all" else encoded["assistant_masks"]
        return ids, [one if mark else IGNORED for one, mark in zip(ids, marks, strict=True)]

    def answer(self, prompt: Turns, answer: Turns, where: str) -> Example:
        """A conversation of which only the turns after a prompt are learned."""
        asked = bool(prompt) and prompt[-1]["role"] != "assistant"
        before = list(self._encoded(prompt, where, add_generation_prompt=asked)["input_ids"]) if prompt else []
        ids = list(self._encoded([*prompt, *answer], where)["input_ids"])
        if ids[: len(before)] != before:
            raise refused(
                where,
                "is written differently by the chat template with and without its answer. Mark the assistant's turns "
                "with {% generation %} in tokenizer.chatTemplate.",
            )
        return ids, [*[IGNORED] * len(before), *ids[len(before) :]]

    def continuation(self, prompt: str, answer: str) -> Example:
        """A text of which only what follows the prompt is learned, with the end token."""
        before = self.tokenizer(prompt)["input_ids"]
        ids, end = self.tokenizer(prompt + answer)["input_ids"], self.tokenizer.eos_token_id
        if end is not None and ids[-1:] != [end]:
            ids = [*ids, end]
        # The last token of the prompt may be another one when the answer follows.
        same = next((n for n, (one, other) in enumerate(zip(before, ids, strict=False)) if one != other), len(before))
        return ids, [*[IGNORED] * same, *ids[same:]]

    def of(self, prompt: Any, answer: Any, where: str) -> Example:
        """A prompt and its answer, both texts or both turns."""
        if isinstance(prompt, str) and isinstance(answer, str):
            return self.continuation(prompt, answer)
        return self.answer(turns(prompt, where), turns(answer, where), where)

    def _encoded(self, turns: Turns, where: str, **options: Any) -> Mapping[str, Any]:
        from jinja2 import TemplateError, TemplateSyntaxError

        if self.template is None:
            raise ConfigurationError(
                "ChatTemplateMissing",
                "The tokenizer has no chat template to write conversations with. Give one in tokenizer.chatTemplate, "
                "or choose a model that was made for conversations.",
            )
        try:
            encoded: Mapping[str, Any] = self.tokenizer.apply_chat_template(
                turns, chat_template=self.template, tokenize=True, return_dict=True, **options
            )
        except TemplateSyntaxError as problem:
            raise ConfigurationError(
                "ChatTemplateUnreadable",
                f"The chat template cannot be read: {str(problem).rstrip('.')}. Correct tokenizer.chatTemplate.",
            ) from problem
        except TemplateError as problem:
            said = str(problem).rstrip(".")
            raise refused(where, f"is refused by the chat template: {said}. Correct the row.") from problem
        return encoded


def chats(config: RunConfig, tokenizer: Any) -> Chats:
    """How the job's conversations are written: by the tokenizer's template, marked by TRL where it knows how."""
    wanted = config.dataset.learned_turns
    template = _default(tokenizer.chat_template)
    marked = _marked(tokenizer, template) if template is not None and wanted in {None, "assistant"} else None
    if wanted == "assistant" and marked is None and template is not None:
        raise ConfigurationError(
            "ChatTemplateUnmarked",
            "dataset.learnedTurns: assistant needs a chat template that marks the assistant's turns with "
            "{% generation %}. Write one in tokenizer.chatTemplate, or set dataset.learnedTurns: last.",
        )
    return Chats(
        tokenizer=tokenizer,
        learned=wanted or ("assistant" if marked is not None else "last"),
        template=marked or template,
    )


def _default(template: Any) -> str | None:
    """A tokenizer's template; of several, the one for conversations without tools."""
    return template.get("default") if isinstance(template, dict) else template


def _marked(tokenizer: Any, template: str) -> str | None:
    """The template with the assistant's turns marked, if it is so or TRL knows one for it."""
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    if has_generation_markers(template):
        return template
    try:
        known: str | None = get_training_chat_template(tokenizer)
    except ValueError:
        return None
    return known


def turns(value: Any, where: str) -> Turns:
    """The turns of a conversation, each with a role and a content, without fields that are empty."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) and one.get("role") for one in value):
        raise refused(where, "holds no conversation: a list of turns with role and content. Correct the row.")
    return [{name: part for name, part in one.items() if part is not None} for one in value]


def refused(where: str, what: str) -> ConfigurationError:
    """What is wrong with a row."""
    return ConfigurationError("ConversationUnsuitable", f"{where} {what}")
