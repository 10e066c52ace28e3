"""Leader election by a Lease: one of several processes works, the others stand by.

The client library's own election cannot create a Lease. Times as in client-go: a lease is taken over
after 15 s without renewal, a leader that could not renew for 10 s stops, renewal is tried every 2 s.
"""

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from finetune_operator.cluster.clock import Clock
from finetune_operator.cluster.port import LEASE, AlreadyExists, Cluster, ClusterError, Conflict, Manifest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The seconds of an election."""

    duration: float = 15
    """How long a lease holds without renewal."""
    deadline: float = 10
    """How long a leader goes on trying to renew before it stops; shorter, so that there are never two."""
    retry: float = 2
    """The pause between two tries."""


class LeaseLost(Exception):
    """This process is no longer the leader and must not write another byte."""


class Election:
    """One process's part in an election."""

    def __init__(
        self, cluster: Cluster, clock: Clock, *, namespace: str, name: str, identity: str, terms: Terms | None = None
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._terms = terms or Terms()
        self._seen: tuple[str, float] | None = None
        """The lease's version and when it was first seen: others' clocks are not trusted."""
        self._renewed_at = 0.0

    async def win(self) -> None:
        """Return once this process is the leader."""
        while not await self._attempted():
            await self._clock.sleep(self._terms.retry * random.uniform(1, 1.2))  # noqa: S311 (spread)
        logger.info("%s leads.", self._identity)

    async def hold(self) -> None:
        """Renew until the lease is lost, then raise `LeaseLost`."""
        while True:
            await self._clock.sleep(self._terms.retry)
            if not await self._attempted(is_leader=True):
                left = self._renewed_at + self._terms.deadline - self._clock.monotonic()
                if left <= 0:
                    raise LeaseLost(f"{self._identity} could not renew the lease for {self._terms.deadline:g} s.")

    async def release(self) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        try:
            lease = await self._cluster.get(LEASE, self._namespace, self._name)
            if lease and spec_of(lease).get("holderIdentity") == self._identity:
                await self._cluster.replace(LEASE, lease | {"spec": spec_of(lease) | self._holding("")})
        except ClusterError as failure:
            logger.warning("The lease could not be given back; it ends by itself: %s", failure)

    async def _attempted(self, *, is_leader: bool = False) -> bool:
        """Whether the lease is ours after one more try."""
        started = self._clock.monotonic()
        left = self._renewed_at + self._terms.deadline - started if is_leader else self._terms.deadline
        try:
            async with asyncio.timeout(max(left, 0.001)):
                is_ours = await self._taken(is_leader=is_leader)
        except (ClusterError, TimeoutError) as failure:
            logger.warning("The lease cannot be renewed now: %s", str(failure) or "no answer in time")
            return False
        if is_ours:
            self._renewed_at = started
        return is_ours

    async def _taken(self, *, is_leader: bool) -> bool:
        lease = await self._cluster.get(LEASE, self._namespace, self._name)
        if lease is None:
            return await self._created()
        holder = spec_of(lease).get("holderIdentity")
        if is_leader and holder != self._identity:
            raise LeaseLost(f"{holder or 'Nobody'} holds the lease that {self._identity} had.")
        if holder and holder != self._identity and not self._is_over(lease):
            return False
        return await self._renewed(lease, is_transition=holder != self._identity)

    async def _created(self) -> bool:
        spec = self._holding(self._identity) | {"leaseTransitions": 0, "acquireTime": self._stamp()}
        metadata = {"namespace": self._namespace, "name": self._name}
        lease = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
        try:
            await self._cluster.create(LEASE, lease)
        except AlreadyExists:
            return False
        return True

    async def _renewed(self, lease: Manifest, *, is_transition: bool) -> bool:
        spec = spec_of(lease) | self._holding(self._identity)
        if is_transition:
            spec |= {"acquireTime": self._stamp(), "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        try:
            await self._cluster.replace(LEASE, lease | {"spec": spec})
        except Conflict:
            return False
        return True

    def _is_over(self, lease: Manifest) -> bool:
        version = lease["metadata"]["resourceVersion"]
        now = self._clock.monotonic()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        duration: float = spec_of(lease).get("leaseDurationSeconds", self._terms.duration)
        return now - self._seen[1] >= duration

    def _holding(self, identity: str) -> Manifest:
        duration = max(1, round(self._terms.duration))
        return {"holderIdentity": identity, "leaseDurationSeconds": duration, "renewTime": self._stamp()}

    def _stamp(self) -> str:
        now: datetime = self._clock.now().astimezone(UTC)
        return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def spec_of(lease: Manifest) -> Manifest:
    """What the lease says; one made by hand may say nothing."""
    return lease.get("spec") or {}
