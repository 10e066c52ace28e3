"""What tests of the cluster floor stand on: a clock that they move, and a job."""

import asyncio
import heapq
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from finetune_operator.build.attempt import token
from finetune_operator.cluster.engine import Engine, Tuning
from finetune_operator.cluster.port import JOB, POD, Cluster, Kind, Manifest, Selection
from finetune_operator.cluster.progress import Pace
from finetune_operator.config import Config
from finetune_sandbox.node_api import NodeApi

ClusterT = TypeVar("ClusterT", bound=NodeApi)

PATIENCE_SECONDS = 60


class Alarm:
    """A call that is due later."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the call."""
        self.callback = None


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._due: list[tuple[float, int, Alarm]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        """The time of day."""
        return datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._seconds

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call back once the clock is there."""
        alarm = Alarm(callback)
        heapq.heappush(self._due, (self._seconds + seconds, next(self._numbers), alarm))
        return alarm

    async def sleep(self, seconds: float) -> None:
        """Return once the clock is there."""
        rang = asyncio.Event()
        self.call_later(seconds, rang.set)
        await rang.wait()

    async def advance(self, seconds: float) -> None:
        """Move on, and let whoever was waiting do what it can."""
        end = self._seconds + seconds
        while self._due and self._due[0][0] <= end:
            self._seconds, _, alarm = heapq.heappop(self._due)
            if alarm.callback:
                alarm.callback()
            await idle()
        self._seconds = end
        await idle()


async def idle() -> None:
    """Let every task run as far as it comes without time passing."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(holds: Callable[[], Any], *, what: str = "the condition") -> Any:
    """What it gives once that is something; fail when it is nothing for too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = holds()
                if found := await found if asyncio.iscoroutine(found) else found:
                    return found
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not come about in {PATIENCE_SECONDS} s") from None


def job(name: str = "a", namespace: str = "default", **spec: Any) -> Manifest:
    """A job as its author writes it."""
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "task": "text-classification",
            "model": {"uri": "hf://google-bert/bert-base-uncased"},
            "dataset": {"uri": "hf://nyu-mll/glue", "columns": {"text": ["sentence"], "label": "label"}},
            "wandb": {"project": "demo", "secretRef": {"name": "wandb"}},
        }
        | spec,
    }


CONFIG = Config(trainer_image="trainer:dev")
QUICK = Tuning(pace=Pace(starting=0.02, shortest=0.02, longest=0.02))


class Trainers:
    """What trainers answer, by address."""

    def __init__(self) -> None:
        self.words: dict[str, bytes] = {}

    async def __call__(self, url: str) -> bytes:
        if url not in self.words:
            raise OSError("connection refused")
        return self.words[url]


class World(Generic[ClusterT]):
    """A cluster with an engine at work."""

    def __init__(self, api: ClusterT, namespace: str = "default") -> None:
        self.api = api
        self.namespace = namespace
        self.trainers = Trainers()

    @asynccontextmanager
    async def at_work(self, cluster: Cluster | None = None) -> AsyncIterator[Engine]:
        """Run an engine, against a cluster that may be out of order."""
        namespace = self.namespace
        engine = Engine(cluster or self.api, CONFIG, namespace=namespace, tuning=QUICK, ask=self.trainers)
        task = asyncio.create_task(engine.run())
        try:
            yield engine
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def attempts(self) -> list[int]:
        """The attempts that the status knows, newest first."""
        status = await self.status()
        return [status["attempt"], *(each["attempt"] for each in status.get("lastAttempts", ()))]

    async def status(self, name: str = "a") -> dict[str, Any]:
        found = await self.api.get(JOB, self.namespace, name)
        return (found or {}).get("status") or {}

    async def reason(self, name: str = "a") -> str:
        ready = [c for c in (await self.status(name)).get("conditions", ()) if c["type"] == "Ready"]
        return ready[0]["reason"] if ready else ""

    async def names(self, kind: Kind = POD) -> list[str]:
        return [
            item["metadata"]["name"]
            for item in (await self.api.list(Selection(kind=kind, namespace=self.namespace))).items
        ]

    async def has_pods(self, *names: str) -> None:
        async def there() -> bool:
            return set(names) <= set(await self.names())

        await until(there, what=f"pods {names}")

    async def reaches(self, **fields: Any) -> None:
        async def there() -> bool:
            return fields.items() <= (await self.status()).items()

        await until(there, what=f"status {fields}")

    async def gives(self, reason: str) -> None:
        async def there() -> bool:
            return await self.reason() == reason

        await until(there, what=f"reason {reason}")

    async def runs(self, pod: str) -> None:
        await self.api.bind(self.namespace, pod, "node")
        started = {"startedAt": "2026-11-21T00:00:00Z"}
        container = {"name": "trainer", "ready": True, "state": {"running": started}}
        status = {"phase": "Running", "podIP": "127.0.0.9", "containerStatuses": [container]}
        await self.api.patch_status(POD, self.namespace, pod, status)

    async def ends(self, pod: str, *, kind: str, code: int, **said: Any) -> None:
        found = await self.api.get(JOB, self.namespace, "a")
        assert found is not None
        attempt = found["status"]["attempt"]
        outcome = {
            "kind": kind,
            "reason": "Said",
            "message": "It is said.",
            "attempt": attempt,
            "token": token(found["metadata"]["uid"], attempt),
            "endedAt": "2026-11-21T00:00:00Z",
            **said,
        }
        terminated = {"exitCode": code, "reason": "Error", "message": json.dumps(outcome)}
        container = {"name": "trainer", "state": {"running": None, "terminated": terminated}}
        phase = "Failed" if code else "Succeeded"
        await self.api.patch_status(POD, self.namespace, pod, {"phase": phase, "containerStatuses": [container]})
