"""The rows of a multiple-choice data set as questions, however the data set writes them down."""

from dataclasses import dataclass
from typing import Any

from finetune_trainer import data
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.errors import ConfigurationError

NEXT = "Correct the row, or dataset.columns."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row."""

    prompt: str | None
    """What stands before every answer."""
    answers: tuple[str, ...]
    """The possible answers, each with the beginning that they share."""
    right: int
    """The number of the right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Which columns make a question."""

    text: tuple[str, ...]
    """The prompt, then the beginning of every answer; both may be absent."""
    answers: tuple[str, ...]
    """One column of lists, or one for each answer."""
    label: str
    """The right answer: its number, its name (A is the first where the data give no names), or its text."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.text, *self.answers, self.label)

    def question(self, row: dict[str, Any], position: int, split: str) -> Question:
        """The question of a row; the row is counted from 1 in messages."""
        where = f"Row {position + 1} of {split}"
        answers, names = self._answers(row, where)
        parts = [_text(row[name], f"{where} has no text in column {name}. {NEXT}") for name in self.text]
        begun = f"{parts[1]} " if len(parts) > 1 else ""
        return Question(
            prompt=parts[0] if parts else None,
            answers=tuple(begun + answer for answer in answers),
            right=_right(row[self.label], answers, names, where),
        )

    def _answers(self, row: dict[str, Any], where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The answers and their names; data sets of exams write both into one column."""
        names: tuple[str, ...] = ()
        given: Any = [row[name] for name in self.answers]
        if len(self.answers) == 1:
            (given,) = given
            if isinstance(given, dict):
                names, given = tuple(map(str, given.get("label") or ())), given.get("text")
        if not isinstance(given, list) or len(given) < 2:
            raise ConfigurationError(
                "ChoicesMissing", f"{where} has no list of two or more answers in {self.answers[0]}. {NEXT}"
            )
        answers = tuple(_text(one, f"{where} has an answer without text. {NEXT}") for one in given)
        return answers, names or tuple(chr(ord("A") + number) for number in range(len(answers)))


def _text(value: Any, refusal: str) -> str:
    if value is None or isinstance(value, list | dict):
        raise ConfigurationError("TextMissing", refusal)
    return str(value)


def _right(value: Any, answers: tuple[str, ...], names: tuple[str, ...], where: str) -> int:
    """The number of the right answer, as the label says it."""
    number: int | None = None
    if isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer():
        number = int(value)
    elif isinstance(value, str):
        found = [told.index(value) for told in (names, answers) if value in told]
        number = found[0] if found else int(value) if value.isdecimal() else None
    if number is None or not 0 <= number < len(answers):
        raise ConfigurationError(
            "LabelOutOfRange",
            f"{where} has the label {value!r}; it is the number of an answer, from 0 to {len(answers) - 1}, its name "
            f"or its text. Correct the row, or dataset.columns.label.",
        )
    return number


def chosen_columns(table: Any, config: RunConfig) -> Choices:
    """The columns that the job names, if the data set has them."""
    wanted = config.dataset.columns
    if len(wanted.text) > 2:
        raise ConfigurationError(
            "ColumnNotFound",
            "multiple-choice takes at most two text columns, the prompt and the beginning of every answer; "
            f"dataset.columns.text names {len(wanted.text)}. Remove some.",
        )
    made = Choices(text=wanted.text, answers=wanted.choices or ("choices",), label=wanted.label or "label")
    for name in made.columns:
        data.column(table, name, config.dataset)
    return made
