"""Trainers without training: what rank 0 answers when it is asked, and how pods end."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web
from finetune_operator.build.attempt import token
from finetune_operator.cluster.port import Manifest
from finetune_operator.names import CONTAINER
from finetune_sandbox.node_api import DISRUPTION_TARGET
from finetune_trainer.contract.environment import DEFAULT_PROGRESS_PORT, PROGRESS_PATH
from finetune_trainer.contract.outcome import Outcome, OutcomeKind, Progress, TrainerState

MAX_STEPS = 1_000_000


def addresses(number: int) -> tuple[str, ...]:
    """Addresses, one for each job; see `network`."""
    return tuple(f"198.19.{index // 250}.{1 + index % 250}" for index in range(number))


def progress(uid: str, began: datetime) -> Progress:
    """The word of the first attempt of a job, ten steps a second."""
    now = datetime.now(UTC)
    return Progress(
        attempt=1,
        token=token(uid, 1),
        state=TrainerState.TRAINING,
        step=1 + int(10 * (now - began).total_seconds()),
        max_steps=MAX_STEPS,
        loss=0.5,
        seconds_per_step=0.1,
        observed_at=now,
    )


@asynccontextmanager
async def answering(uids: Mapping[str, str]) -> AsyncIterator[None]:
    """Answer for each address as the trainer of a job, whose uid may become known later."""
    began = datetime.now(UTC)

    async def answer(request: web.Request) -> web.Response:
        assert request.transport
        address = request.transport.get_extra_info("sockname")[0]
        return web.Response(text=progress(uids[address], began).model_dump_json(by_alias=True))

    application = web.Application()
    application.router.add_get(PROGRESS_PATH, answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        place = socket.create_server(("0.0.0.0", DEFAULT_PROGRESS_PORT), backlog=128)  # noqa: S104 (our own network)
        await web.SockSite(runner, place).start()
        yield
    finally:
        await runner.cleanup()


def finished(uid: str) -> str:
    """The termination message of a pod."""
    now = datetime.now(UTC)
    word = Outcome(
        kind=OutcomeKind.FINISHED,
        reason="Finished",
        message="Trained to the end.",
        attempt=1,
        token=token(uid, 1),
        ended_at=now,
        progress=progress(uid, now),
    )
    return word.model_dump_json(by_alias=True, exclude_none=True)


def succeeded(message: str = "") -> Manifest:
    """The status of a pod that has ended with 0."""
    return {"phase": "Succeeded", "containerStatuses": [_ended(0, "Completed", message)]}


def preempted() -> Manifest:
    """The status of a pod that the scheduler has taken away."""
    now = _now()
    target = {
        "type": DISRUPTION_TARGET,
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "bench: preempting to accommodate a higher priority pod",
        "lastTransitionTime": now,
    }
    return {"phase": "Failed", "conditions": [target], "containerStatuses": [_ended(143, "Error", "")]}


def _ended(code: int, reason: str, message: str) -> Manifest:
    now = _now()
    terminated = {"exitCode": code, "reason": reason, "message": message, "startedAt": now, "finishedAt": now}
    return {
        "name": CONTAINER,
        "image": "bench",
        "imageID": "",
        "restartCount": 0,
        "ready": False,
        "started": False,
        "state": {"terminated": terminated},
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
