"""The composition root: settings from the environment, the election, then Kopf and the engine until one of them ends.

Crash-only: whatever goes wrong ends the process, and the next one begins from what the cluster says.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
import uuid
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import kopf

from finetune_operator import handlers, logs, names, probes
from finetune_operator.cluster.client import ApiServer, LoginFailed, api_server
from finetune_operator.cluster.clock import SystemClock
from finetune_operator.cluster.engine import Engine
from finetune_operator.cluster.lease import Election, LeaseLost
from finetune_operator.config import Config
from finetune_operator.metrics import Metrics

logger = logging.getLogger(__name__)

DEFAULT_HTTP_PORT = "8080"
DEFAULT_LOG_LEVEL = "info"
LOG_LEVELS = ("debug", "info", "warning", "error")
LOST = 70
"""The exit code of a leader that is none any more."""
YOUNG_OBJECTS = 10_000
"""As many as a few large pods have when they are parsed; with Python's 700 each pod is looked through several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the installation decides about the process."""

    config: Config
    namespace: str | None
    """The one namespace that is watched; all when absent."""
    lease_namespace: str
    lease_name: str
    identity: str
    http_port: int
    log_level: str
    kubeconfig: str | None = None


def settings(arguments: list[str], environment: Mapping[str, str]) -> Settings:
    """The settings, from the command line and the environment; a mistake ends the process with a sentence."""
    parser = argparse.ArgumentParser(prog="finetune_operator", description="The operator of FineTuneJobs.")
    parser.add_argument("--namespace", default=environment.get("FINETUNE_NAMESPACE"), help="Watch this one alone.")
    parser.add_argument("--kubeconfig", help="Log in with this file.")
    given = parser.parse_args(arguments)
    if mistake := first_mistake(environment):
        parser.error(mistake)
    namespace: str | None = given.namespace or None
    pod = environment.get("POD_NAME", "local")
    return Settings(
        config=Config(
            trainer_image=environment["FINETUNE_TRAINER_IMAGE"],
            hub_endpoint=environment.get("FINETUNE_HUB_ENDPOINT") or None,
            wandb_base_url=environment.get("FINETUNE_WANDB_BASE_URL") or None,
            trainer_env=tuple(sorted((_variables(environment) or {}).items())),
        ),
        namespace=namespace,
        lease_namespace=environment.get("POD_NAMESPACE") or namespace or "default",
        lease_name=environment.get("FINETUNE_LEASE_NAME", names.MANAGED_BY),
        # A restarted container has its pod's name and is another process all the same.
        identity=f"{pod}_{uuid.uuid4()}",
        http_port=int(environment.get("FINETUNE_HTTP_PORT", DEFAULT_HTTP_PORT)),
        log_level=environment.get("FINETUNE_LOG_LEVEL", DEFAULT_LOG_LEVEL),
        kubeconfig=given.kubeconfig,
    )


def first_mistake(environment: Mapping[str, str]) -> str | None:
    """What is wrong with the environment, in a sentence."""
    if not environment.get("FINETUNE_TRAINER_IMAGE"):
        return "FINETUNE_TRAINER_IMAGE is not set; name the image of the trainer there."
    port = environment.get("FINETUNE_HTTP_PORT", DEFAULT_HTTP_PORT)
    if not port.isdecimal():
        return f"FINETUNE_HTTP_PORT is {port}; it must be a number."
    level = environment.get("FINETUNE_LOG_LEVEL", DEFAULT_LOG_LEVEL)
    if level not in LOG_LEVELS:
        return f"FINETUNE_LOG_LEVEL is {level}; it must be one of {', '.join(LOG_LEVELS)}."
    if _variables(environment) is None:
        return 'FINETUNE_TRAINER_ENV must be a JSON object of names and texts, for example {"HTTPS_PROXY": "http://proxy"}.'
    return None


def _variables(environment: Mapping[str, str]) -> dict[str, str] | None:
    """The variables of every trainer; None when they cannot be read."""
    try:
        found = json.loads(environment.get("FINETUNE_TRAINER_ENV") or "{}")
    except ValueError:
        return None
    is_right = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if is_right else None


async def operate(chosen: Settings) -> int:
    """Log in, stand by, lead, work; the exit code."""
    try:
        server = await api_server(chosen.kubeconfig)
    except LoginFailed as problem:
        logger.critical("%s", problem)
        return 1
    metrics = Metrics()
    clock = SystemClock()
    election = Election(
        server, clock, namespace=chosen.lease_namespace, name=chosen.lease_name, identity=chosen.identity
    )
    engine = Engine(
        server,
        chosen.config,
        namespace=chosen.namespace,
        watches_jobs=False,
        meter=metrics,
        instance=chosen.identity,
    )
    metrics.watch(engine.phases, lambda: len(engine.queue))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    answers = probes.application(health=engine.ailment, readiness=engine.unreadiness, metrics=metrics.exposition)
    try:
        async with probes.served(answers, chosen.http_port):
            if not await won(election, stop):
                return 0
            metrics.leads()
            try:
                return await led(chosen, server, engine, election)
            finally:
                await election.release()
    finally:
        await server.close()


async def won(election: Election, stop: asyncio.Event) -> bool:
    """Whether this process leads; false when it was asked to stop while it stood by. Raises what ended the election."""
    win, stopped = asyncio.ensure_future(election.win()), asyncio.ensure_future(stop.wait())
    await asyncio.wait({win, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (win, stopped):
        task.cancel()
    if not win.done():
        return False
    win.result()
    return not stop.is_set()


async def led(chosen: Settings, server: ApiServer, engine: Engine, election: Election) -> int:
    """Work until a signal, or until something ends that should not; the exit code."""
    stop = asyncio.Event()
    # Started before Kopf, which ends every task that was started after it.
    held = asyncio.create_task(fenced(election.hold()))
    work = asyncio.create_task(engine.run())
    shell = asyncio.create_task(
        kopf.operator(
            registry=handlers.registry(engine, server),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=chosen.namespace is None,
            namespaces=[chosen.namespace] if chosen.namespace else (),
            stop_flag=stop,
        )
    )
    await asyncio.wait({held, work, shell}, return_when=asyncio.FIRST_COMPLETED)
    if work.cancelled():
        # A signal: Kopf's cleanup has stopped the engine, and Kopf ends next.
        await asyncio.wait({shell})
    failures = [task.exception() for task in (held, work, shell) if task.done() and not task.cancelled()]
    stop.set()
    work.cancel()
    held.cancel()
    await asyncio.wait({work, held, shell}, timeout=5)
    for failure in filter(None, failures):
        logger.error("The operator ends: %r", failure)
    return 1 if any(failures) else 0


async def fenced(holding: Coroutine[Any, Any, None]) -> None:
    """Hold the lease; when it is lost, not another byte is written."""
    try:
        await holding
    except LeaseLost as lost:
        logger.critical("The process ends at once: %s", lost)
        logging.shutdown()
        os._exit(LOST)


def keep_what_was_imported() -> None:
    """Take modules and models out of the collector's sight, and let it look less often: a seventh of a life's CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def main() -> None:
    """Run the operator."""
    chosen = settings(sys.argv[1:], os.environ)
    logs.configure(chosen.log_level)
    keep_what_was_imported()
    sys.exit(asyncio.run(operate(chosen)))
