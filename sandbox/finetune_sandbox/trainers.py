"""Asks a trainer how far it is, as the operator does, but as often as a test or a progress bar likes."""

from contextlib import suppress

import aiohttp
from finetune_operator.cluster.port import Manifest
from finetune_trainer.contract.environment import DEFAULT_PROGRESS_PORT, PROGRESS_PATH
from finetune_trainer.contract.outcome import Progress
from pydantic import ValidationError

TIMEOUT = aiohttp.ClientTimeout(total=2)


async def progress(pod: Manifest) -> Progress | None:
    """What this pod's trainer says now; None while it does not answer."""
    address = pod.get("status", {}).get("podIP")
    if not address:
        return None
    url = f"http://{address}:{DEFAULT_PROGRESS_PORT}{PROGRESS_PATH}"
    with suppress(aiohttp.ClientError, TimeoutError, OSError, ValidationError):
        async with aiohttp.ClientSession() as session, session.get(url, timeout=TIMEOUT) as answer:
            return Progress.model_validate_json(await answer.read())
    return None
