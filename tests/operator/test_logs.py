"""Logs are read by machines: one JSON object a line, whatever is said."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from finetune_operator import logs

logger = logging.getLogger("finetune_operator.test")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in captured.readouterr().err.splitlines()]


def test_a_record_is_one_object_with_time_level_logger_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logger.warning("%s waits", "team/bert")
    (line,) = lines(capsys)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "logger": "finetune_operator.test", "message": "team/bert waits"}


def test_a_message_of_several_lines_stays_on_one(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logger.info('a\nb\t"c"')
    assert [line["message"] for line in lines(capsys)] == ['a\nb\t"c"']


def test_an_exception_is_within_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    try:
        int("no such thing")
    except ValueError:
        logger.exception("The pass failed.")
    (line,) = lines(capsys)
    assert "no such thing" in line["exception"]


def test_what_cannot_be_json_is_still_told(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logger.info("%s and \udcff", object)
    assert lines(capsys)[0]["message"].startswith("<class 'object'>")


def test_what_is_below_the_level_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning")
    logger.info("unheard")
    assert lines(capsys) == []


def test_kopf_does_not_tell_every_event_of_every_job(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logging.getLogger("kopf.objects").info("Handler 'seen' succeeded.")
    assert lines(capsys) == []


def test_standard_output_stays_empty(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logger.error("heard")
    sys.stderr.flush()
    assert capsys.readouterr().out == ""
