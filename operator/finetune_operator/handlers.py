"""Kopf and only Kopf: login, the watch of jobs, signals. Nothing here knows what a job is for.

No handler of Kopf's that keeps state is used: each would write annotations or finalizers to the user's object.
"""

import logging
from collections.abc import Iterator
from typing import Any

import kopf

from finetune_operator import names
from finetune_operator.cluster.client import ApiServer
from finetune_operator.cluster.engine import Engine


class EndlessBackoff:
    """Pauses between tries, as often as there is an error: Kopf would end the process after the last one."""

    def __iter__(self) -> Iterator[float]:
        seconds = 1.0
        while True:
            yield seconds
            seconds = min(30.0, 2 * seconds)


class NoMemory(kopf.DiffBaseStorage):
    """Remembers nothing about objects: nothing compares them, and copying each body costs 40 % of the CPU."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing."""
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Write nothing."""


def settings() -> kopf.OperatorSettings:
    """Kopf's settings."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True  # No list and watch of CRDs and namespaces, and no rights to them.
    chosen.posting.enabled = False  # Events are our own recorder's.
    chosen.peering.standalone = True  # The Lease decides who works.
    chosen.watching.server_timeout = 300
    chosen.watching.connect_timeout = 10
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    chosen.networking.error_backoffs = EndlessBackoff()
    chosen.persistence.diffbase_storage = NoMemory()
    chosen.process.ultimate_exiting_timeout = 25
    # One line for every event of every job says nothing.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return chosen


def registry(engine: Engine, server: ApiServer) -> kopf.OperatorRegistry:
    """The handlers, which pass on what they are told."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(**await server.credentials())

    @kopf.on.startup(registry=handlers, backoff=2)
    async def prime(**_: Any) -> None:
        await engine.prime()

    @kopf.on.cleanup(registry=handlers)
    async def stop(**_: Any) -> None:
        # Kopf waits five seconds for tasks that were started after it, as the engine's are.
        await engine.stop()

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=handlers)
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        engine.job_told(event["type"], dict(event["object"]))

    return handlers
