"""A pytest plugin for CI: a test that this machine could have run must not be skipped.

Loaded with `-p tests.plugin_skips`. A skip is allowed only when its reason says that a CUDA device is needed.
"""

from collections.abc import Generator

import pytest

ALLOWED = "needs a CUDA device"
_refused: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note every skip whose reason this machine could have met."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if ALLOWED not in reason:
            _refused.append(f"{item.nodeid}: {reason}")
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when a test was skipped that should have run."""
    if _refused:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the refused skips."""
    for line in _refused:
        terminalreporter.write_line(f"skipped, but this machine could have run it: {line}", red=True)
