"""A real API server with kwok nodes and the operator as a process of its own, for one run of the bench."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from finetune_operator.cluster.client import path
from finetune_operator.cluster.port import CONFIG_MAP, JOB, POD, SERVICE, Selection, Unavailable
from finetune_operator.config import Config
from finetune_sandbox import processes
from finetune_sandbox.control_plane import ControlPlane, Options
from finetune_sandbox.kwok import Kwok
from finetune_sandbox.real_api import RealApi, real_api

from bench.arrivals import BATCH_JOB, Arrivals, arrivals

CRDS = Path(__file__).parent.parent / "crds"
SYSTEM = "bench-system"
IMAGE = "finetune-trainer:bench"
CONFIG = Config(trainer_image=IMAGE)
LIMIT = 1000
"""Client limits of every controller, requests a second: Kubernetes' own would be what is measured."""
NODES, GPUS = 50, 100
TICKS = os.sysconf("SC_CLK_TCK")


class Bench(RealApi):
    """The API server as the bench's own client sees it."""

    async def clear(self, namespace: str) -> None:
        """Remove the jobs of a namespace with all that is theirs, and wait until the pods are gone."""
        now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        for kind in (JOB, BATCH_JOB, POD, SERVICE, CONFIG_MAP):
            while (await self.list(Selection(kind=kind, namespace=namespace))).items:
                with contextlib.suppress(Unavailable):  # Thousands take longer than a request may.
                    await self._call("DELETE", path(kind, namespace), body=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the operator has used so far."""

    cpu_seconds: float
    peak_mib: float


@dataclass(slots=True, kw_only=True)
class Place:
    """Where everything happens: one namespace, watched."""

    plane: ControlPlane
    api: Bench
    namespace: str
    seen: Arrivals
    operator: "subprocess.Popen[bytes]"
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def names(self, prefix: str, number: int) -> tuple[str, ...]:
        """Names that nobody has had."""
        return tuple(f"{prefix}-{next(self.numbers)}" for _ in range(number))

    def cpu(self) -> Counter[str]:
        """CPU milliseconds until now of everything that runs in the bench's network, by program."""
        used: Counter[str] = Counter()
        here = Path("/proc/self/ns/net").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # It has ended, or is not ours to look at.
                if (process / "ns" / "net").readlink() == here:
                    used[program(process)] += round(1000 * cpu_seconds(process))
        return used

    def usage(self) -> Usage:
        """CPU and memory of the operator until now."""
        process = Path(f"/proc/{self.operator.pid}")
        status = (process / "status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        return Usage(cpu_seconds=cpu_seconds(process), peak_mib=peak / 1024)


def cpu_seconds(process: Path) -> float:
    """What a process has used, by its folder in /proc."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def program(process: Path) -> str:
    """The name of a process's program; of Python's, the module."""
    words = (process / "cmdline").read_text().split("\0")
    return words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """A control plane with nodes of many GPUs, and service accounts for the operator and the bench."""
    with ControlPlane(folder, Options(audit=True, requests_per_second=LIMIT)) as plane, Kwok(plane) as kwok:
        plane.install_crds(CRDS)
        kwok.add_nodes(NODES, gpus=GPUS)
        plane.namespace(SYSTEM)
        for name in ("operator", "bench"):
            plane.kubectl("create", "serviceaccount", name, "-n", SYSTEM)
            role = ("--clusterrole=cluster-admin", f"--serviceaccount={SYSTEM}:{name}")
            plane.kubectl("create", "clusterrolebinding", name, *role)
        yield plane


@contextmanager
def operator(plane: ControlPlane) -> Iterator["subprocess.Popen[bytes]"]:
    """The operator, for all namespaces, as it is shipped."""
    environment = os.environ | {
        "FINETUNE_TRAINER_IMAGE": IMAGE,
        "FINETUNE_HTTP_PORT": "0",
        "POD_NAMESPACE": SYSTEM,
    }
    command = (*launcher(plane.folder), "--kubeconfig", str(plane.service_account(SYSTEM, "operator")))
    process = processes.start(command, plane.log_folder / "operator.log", environment)
    try:
        yield process
    finally:
        processes.stop(process, 30)


def ailment(process: "subprocess.Popen[bytes]") -> str | None:
    """Why there is nothing to wait for."""
    code = process.poll()
    return None if code is None else f"The operator has ended with code {code}; see logs/operator.log in --folder."


def launcher(folder: Path) -> tuple[str, ...]:
    """The operator's program; under the profiler when BENCH_PROFILE is set."""
    if os.environ.get("BENCH_PROFILE"):
        return (sys.executable, "-m", "cProfile", "-o", str(folder / "operator.prof"), "-m", "finetune_operator")
    return (sys.executable, "-m", "finetune_operator")


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    """All of it, while the block lasts."""
    with control_plane(folder) as plane, operator(plane) as process:
        namespace = plane.namespace("bench")
        kubeconfig = plane.service_account(SYSTEM, "bench")
        async with opened(kubeconfig) as api, arrivals(plane.kubeconfig, namespace) as seen:
            seen.ailment = lambda: ailment(process)
            yield Place(plane=plane, api=api, namespace=namespace, seen=seen, operator=process)


@asynccontextmanager
async def opened(kubeconfig: Path) -> AsyncIterator[Bench]:
    """The bench's own client."""
    async with real_api(kubeconfig) as plain:
        api = Bench(plain._configuration)  # noqa: SLF001 (a login, for a client with one method more)
        try:
            yield api
        finally:
            await api.close()
