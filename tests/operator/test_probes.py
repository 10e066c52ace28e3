"""The probes say what is so, in a sentence that a person can act upon."""

import aiohttp
import pytest
from finetune_operator import probes


async def answers(health: str | None, readiness: str | None, path: str) -> tuple[int, str]:
    application = probes.application(health=lambda: health, readiness=lambda: readiness, metrics=lambda: b"x 1.0\n")
    async with (
        probes.served(application, 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("health", "readiness", "path", "expected"),
    [
        pytest.param(None, None, "/healthz", (200, "ok"), id="well"),
        pytest.param(None, "Not listed.", "/healthz", (200, "ok"), id="who-is-not-ready-is-alive-all-the-same"),
        pytest.param(None, "Not listed.", "/readyz", (500, "Not listed."), id="not-ready"),
        pytest.param("Stuck.", None, "/healthz", (500, "Stuck."), id="ill"),
        pytest.param("Stuck.", None, "/readyz", (500, "Stuck."), id="who-is-ill-is-not-ready"),
        pytest.param("Stuck.", None, "/metrics", (200, "x 1.0\n"), id="who-is-ill-can-be-measured"),
        pytest.param(None, None, "/secrets", (404, "404: Not Found"), id="nothing-else-is-served"),
    ],
)
async def test_a_probe_answers(health: str | None, readiness: str | None, path: str, expected: tuple[int, str]) -> None:
    assert await answers(health, readiness, path) == expected


async def test_metrics_are_announced_in_prometheus_format() -> None:
    application = probes.application(health=lambda: None, readiness=lambda: None, metrics=lambda: b"")
    async with (
        probes.served(application, 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
