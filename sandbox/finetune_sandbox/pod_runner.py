"""The life of one pod on a process node, from admission to its last status."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from finetune_operator.cluster.port import EVENT, POD, ClusterError, Manifest, Unavailable

from finetune_sandbox import pod_status
from finetune_sandbox.devices import Devices
from finetune_sandbox.memory_scheduler import event_manifest
from finetune_sandbox.node_api import NodeApi, change_status, is_going
from finetune_sandbox.pod_files import ConfigError, Files, NotYet, environment
from finetune_sandbox.pod_layout import Layout, address, host_name
from finetune_sandbox.pod_process import CannotStart, PodProcess, Program, command_line, surroundings
from finetune_sandbox.pod_status import Running, State, Terminated, Verdict, Waiting

CREATING = Waiting(reason="ContainerCreating")
LOST = Terminated(exit_code=pod_status.SIGKILLED, reason="Error")
DEADLINE_EXCEEDED = Verdict(
    reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the pods of a node share."""

    api: NodeApi
    cluster: str
    """Tells clusters on one machine apart: part of every pod's address."""
    folder: Path
    claims: Path
    """What persistent volume claims hold; nodes that share it have storage that many may mount."""
    devices: Devices
    absent_images: frozenset[str]
    entrypoint: tuple[str, ...]
    variables: dict[str, str]
    retry_seconds: float
    admit: Callable[[Manifest], Verdict | None]


class PodRunner:
    """Runs one pod; `update` and `vanish` tell it what the API server says, `run` ends after the last status."""

    def __init__(self, host: Host, pod: Manifest) -> None:
        self._host = host
        self._pod = pod
        self._metadata = pod["metadata"]
        self._changed = asyncio.Event()
        self._vanished = False
        self._process: PodProcess | None = None
        self._out_of_memory = False
        self._told = ""
        self._verdict: Verdict | None = None
        self._verdict_grace: float | None = None
        self.folder = host.folder / "pods" / self._metadata["uid"]
        self.files = Files(self.folder, host.claims, pod)
        self.log = self.folder / "log"
        self.ip = address(host.cluster, self._metadata["namespace"], host_name(pod))

    @property
    def pod(self) -> Manifest:
        """The pod as last seen."""
        return self._pod

    def update(self, pod: Manifest) -> None:
        """The pod has changed; news older than our own last write are none."""
        if int(pod["metadata"]["resourceVersion"]) > int(self._pod["metadata"]["resourceVersion"]):
            self._pod = pod
            self._changed.set()

    def vanish(self) -> None:
        """The pod object is gone."""
        self._vanished = True
        self._changed.set()

    def kill(self, number: signal.Signals = signal.SIGKILL, *, out_of_memory: bool = False) -> None:
        """A signal from outside to the main process; the kernel's memory killer calls itself out of memory."""
        self._out_of_memory = out_of_memory
        if self._process:
            self._process.signal(number)

    def end(self, verdict: Verdict, grace_seconds: float) -> None:
        """The node itself ends the pod, which stays as it is until somebody deletes it."""
        self._verdict, self._verdict_grace = verdict, grace_seconds
        self._changed.set()

    def destroy(self) -> None:
        """End all processes without a word, as a power cut does."""
        if self._process:
            self._process.kill()

    async def run(self) -> None:
        """From admission to the last status; returns when the object is gone."""
        try:
            if refusal := self._host.admit(self._pod):
                await self._write(lambda _: pod_status.refused(refusal, _now()))
            else:
                await self._live()
        finally:
            self.destroy()
            self._host.devices.give_back(self._pod)
            self.files.remove_scratch()

    async def _live(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        if self._pod["status"].get("phase") == "Running":
            # It ran on this node before the node came anew: whatever it did is lost.
            await self._report_end(LOST)
            return
        await self._report(CREATING)
        self._process = await self._started()
        if self._process is None:
            await self._report_end(pod_status.NOT_FOUND)
            return
        started_at = _now()
        await self._report(Running(started_at=started_at))
        code = await self._ended(self._process)
        self._process.kill()
        self._host.devices.give_back(self._pod)
        message = pod_status.termination_message(
            self.files.termination_log.read_bytes(),
            self.log.read_bytes(),
            self._pod["spec"]["containers"][0].get("terminationMessagePolicy", "File"),
            code,
        )
        await self._report_end(
            pod_status.terminated(code, started_at, _now(), message, out_of_memory=self._out_of_memory)
        )

    async def _started(self) -> PodProcess | None:
        """The container's process, as soon as all that it needs is there; None when the pod has to go before."""
        while not self._must_stop():
            try:
                self._raise_unless_image_is_there()
                return await self._launched()
            except NotYet as missing:
                await self._tell("Warning", "FailedMount", str(missing))
            except ConfigError as wrong:
                await self._report(Waiting(reason="CreateContainerConfigError", message=str(wrong)))
            except CannotStart as wrong:
                await self._report(Waiting(reason="RunContainerError", message=str(wrong)))
            except _ImageAbsent as absent:
                await self._report(absent.state)
            except Unavailable:
                pass
            except Exception as unknown:  # noqa: BLE001 (whatever it is, it is this pod's)
                # A full disk, or a defect of ours that one pod brings to light: the kubelet says so and tries again.
                told = f"{type(unknown).__name__}: {unknown}"
                await self._report(Waiting(reason="CreateContainerError", message=told))
            await self._pause()
        return None

    async def _launched(self) -> PodProcess:
        paths = await self.files.mount(self._host.api)
        layout = Layout(
            cluster=self._host.cluster,
            namespace=self._metadata["namespace"],
            subdomain=self._pod["spec"].get("subdomain"),
            paths=paths,
        )
        self.files.rewrite(layout)
        variables = await environment(self._host.api, self._pod, self.ip, layout)
        base = surroundings(self._metadata["uid"], self.files.root, self.files.temporary)
        base |= self._host.devices.taken_by(self._pod) | self._host.variables
        program = Program(
            uid=self._metadata["uid"],
            arguments=command_line(self._pod, self._host.entrypoint, variables, layout),
            environment=base | variables,
            folder=self.files.root,
            log=self.log,
        )
        return await PodProcess.started(program)

    def _raise_unless_image_is_there(self) -> None:
        container = self._pod["spec"]["containers"][0]
        image = container.get("image", "")
        if image not in self._host.absent_images:
            return
        if container.get("imagePullPolicy") == "Never":
            never = f'Container image "{image}" is not present with pull policy of Never'
            raise _ImageAbsent(Waiting(reason="ErrImageNeverPull", message=never))
        seen = str(self._pod["status"].get("containerStatuses"))
        if "ErrImagePull" in seen or "ImagePullBackOff" in seen:
            backing_off = f'Back-off pulling image "{image}"'
            raise _ImageAbsent(Waiting(reason="ImagePullBackOff", message=backing_off))
        raise _ImageAbsent(Waiting(reason="ErrImagePull", message=f'failed to pull image "{image}": not found'))

    async def _ended(self, process: PodProcess) -> int:
        """The return code; sees to it that the process ends in time when it has to."""
        loop = asyncio.get_running_loop()
        kill_at: float | None = None
        while not process.ended.done():
            self._changed.clear()
            self._look_at_the_deadline()
            grace = self._grace()
            if grace is not None:
                if kill_at is None:
                    process.terminate()
                    await self._tell("Normal", "Killing", f"Stopping container {self._container_name()}")
                kill_at = min(kill_at or float("inf"), loop.time() + grace)
            if kill_at is not None and loop.time() >= kill_at:
                process.kill()
                return await process.ended
            await self._wait(process, kill_at)
        return await process.ended

    async def _wait(self, process: PodProcess, kill_at: float | None) -> None:
        """Until the process ends, the pod changes, or something is due."""
        loop = asyncio.get_running_loop()
        due = [] if kill_at is None else [kill_at - loop.time()]
        if (left := self._seconds_to_deadline()) is not None and self._verdict is None:
            due.append(left)
        changed = asyncio.ensure_future(self._changed.wait())
        timeout = max(0.0, min(due)) if due else None
        await asyncio.wait({process.ended, changed}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()

    def _grace(self) -> float | None:
        """How long the process may go on; None when nobody wants it to end."""
        wanted = []
        if self._vanished:
            wanted.append(1.0)  # The kubelet's least, whatever a forced deletion said.
        if is_going(self._pod):
            wanted.append(float(self._pod["metadata"].get("deletionGracePeriodSeconds", 0)))
        if self._verdict_grace is not None:
            wanted.append(self._verdict_grace)
        return min(wanted) if wanted else None

    def _look_at_the_deadline(self) -> None:
        left = self._seconds_to_deadline()
        if left is not None and left <= 0 and self._verdict is None:
            self.end(DEADLINE_EXCEEDED, float(self._pod["spec"].get("terminationGracePeriodSeconds", 30)))

    def _seconds_to_deadline(self) -> float | None:
        limit = self._pod["spec"].get("activeDeadlineSeconds")
        start = self._pod["status"].get("startTime")
        if limit is None or start is None:
            return None
        return (datetime.fromisoformat(start) + timedelta(seconds=limit) - _now()).total_seconds()

    def _must_stop(self) -> bool:
        self._look_at_the_deadline()
        return self._grace() is not None

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._host.retry_seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _report(self, state: State) -> None:
        await self._write(lambda pod: pod_status.status(pod, self.ip, state, _now()))

    async def _report_end(self, state: Terminated) -> None:
        if not is_going(self._pod) and state is not pod_status.NOT_FOUND:
            # Who watches sees the container ended before the pod has.
            await self._report(state)
        await self._write(lambda pod: pod_status.ended(pod, self.ip, state, self._verdict, _now()))
        while not self._vanished:
            if is_going(self._pod):
                await self._remove()
            await self._pause()

    async def _remove(self) -> None:
        with suppress(ClusterError):
            place = (self._metadata["namespace"], self._metadata["name"])
            await self._host.api.delete(POD, *place, uid=self._metadata["uid"], grace_seconds=0)

    async def _write(self, change: Callable[[Manifest], Manifest]) -> None:
        """Write the pod's status, however long the API server is away."""

        def changed(found: Manifest) -> Manifest | None:
            if found["metadata"]["uid"] != self._metadata["uid"]:
                return None
            new = change(found)
            return None if new.items() <= found["status"].items() else new

        while not self._vanished:
            try:
                place = (self._metadata["namespace"], self._metadata["name"])
                written = await change_status(self._host.api, POD, *place, changed)
            except Unavailable:
                await self._pause()
            else:
                if written is not None and written["metadata"]["uid"] == self._metadata["uid"]:
                    self._pod = written
                return

    async def _tell(self, kind: str, reason: str, message: str) -> None:
        if message == self._told:
            return
        self._told = message
        event = event_manifest(self._pod, kind=kind, reason=reason, message=message, source="kubelet")
        with suppress(ClusterError):
            await self._host.api.create(EVENT, event)

    def _container_name(self) -> str:
        name: str = self._pod["spec"]["containers"][0]["name"]
        return name


class _ImageAbsent(Exception):
    """The image cannot be pulled; how the container waits."""

    def __init__(self, state: Waiting) -> None:
        super().__init__(state.message)
        self.state = state


def _now() -> datetime:
    return datetime.now(UTC)
