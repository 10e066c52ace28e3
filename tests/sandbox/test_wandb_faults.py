import errno
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from finetune_sandbox.wandb_server import Effect, Fault, FolderInUse, Settings, WandbServer
from finetune_sandbox.wandb_server.server import errors

VIEWER = {"query": "{viewer {id}}"}
GOOD = aiohttp.BasicAuth("api", "k" * 40)


async def statuses(server: WandbServer, times: int, auth: aiohttp.BasicAuth = GOOD) -> list[int]:
    async with aiohttp.ClientSession(auth=auth) as session:
        return [(await session.post(f"{server.url}/graphql", json=VIEWER)).status for _ in range(times)]


async def test_a_fault_strikes_as_often_as_it_was_told(server: WandbServer) -> None:
    server.fail(Fault(effect=Effect.STATUS, status=503, match="viewer", times=2))

    assert await statuses(server, 3) == [503, 503, 200]


async def test_a_fault_leaves_other_requests_alone(server: WandbServer) -> None:
    server.fail(Fault(effect=Effect.STATUS, match="file_stream"))

    assert await statuses(server, 1) == [200]


async def test_a_short_key_is_refused(server: WandbServer) -> None:
    assert await statuses(server, 1, aiohttp.BasicAuth("api", "short")) == [401]


async def test_dropped_connections_end_when_the_faults_are_cleared(server: WandbServer) -> None:
    server.fail(Fault(effect=Effect.DROP))
    with pytest.raises(aiohttp.ClientError):
        await statuses(server, 1)
    server.heal()

    assert await statuses(server, 1) == [200]


async def test_a_paused_server_refuses_connections_and_comes_back(server: WandbServer) -> None:
    server.pause()
    with pytest.raises(aiohttp.ClientConnectorError):
        await statuses(server, 1)
    server.resume()

    assert await statuses(server, 1) == [200]


def test_nobody_gets_the_port_of_a_paused_server(server: WandbServer) -> None:
    server.pause()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", server.port))
    server.resume()


def test_a_folder_has_one_server_at_a_time(server: WandbServer) -> None:
    upload = server.folder / "blobs" / ".half-done"
    upload.touch()

    with pytest.raises(FolderInUse, match="in use by another run"):
        WandbServer(server.folder).__enter__()
    was_left_alone = upload.exists()
    server.pause()
    with WandbServer(server.folder):
        pass
    server.resume()

    assert (was_left_alone, upload.exists()) == (True, False)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[WandbServer]:
    """A server whose admin door has a token."""
    with WandbServer(tmp_path / "guarded", settings=Settings(admin_token="open")) as running:
        yield running


def admin(token: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})


async def test_the_admin_door_sets_and_clears_faults_and_shows_requests(guarded: WandbServer) -> None:
    async with admin("open") as session:
        await session.post(f"{guarded.url}/admin/faults", json={"effect": "status", "status": 401})
        struck = await statuses(guarded, 1)
        await session.delete(f"{guarded.url}/admin/faults")
        healed = await statuses(guarded, 1)
        seen = await (await session.get(f"{guarded.url}/admin/requests")).json()

    assert (struck, healed, seen) == ([401], [200], ["graphql  viewer"] * 2)


async def test_a_fault_with_a_typo_is_refused(guarded: WandbServer) -> None:
    async with admin("open") as session:
        answer = await session.post(f"{guarded.url}/admin/faults", json={"effect": "status", "tmies": 1})

    assert answer.status == 400


async def test_the_admin_door_opens_to_nobody_without_its_token(server: WandbServer, guarded: WandbServer) -> None:
    shut = [(server, ""), (server, "open"), (guarded, "x"), (guarded, "")]
    for running, token in shut:
        async with admin(token) as session:
            found = [
                await session.post(f"{running.url}/admin/faults", json={"effect": "drop"}),
                await session.delete(f"{running.url}/admin/faults"),
                await session.get(f"{running.url}/admin/requests"),
            ]
        assert [each.status for each in found] == [403] * 3

    assert await statuses(guarded, 1) == [200]


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), (507, "is full. Make room on it.")),
        (ValueError("odd"), (400, "Defect in the sandbox's W&B server: ValueError('odd')")),
    ],
    ids=["a full disk", "a defect"],
)
async def test_an_answer_says_whether_the_disk_is_full_or_the_server_wrong(
    problem: Exception, told: tuple[int, str]
) -> None:
    async def failing(_: web.Request) -> web.StreamResponse:
        raise problem

    answer = await errors(make_mocked_request("PUT", "/storage/x"), failing)

    assert isinstance(answer, web.Response)
    assert (answer.status, told[1] in json.loads(answer.text or "")["errors"][0]["message"]) == (told[0], True)
