"""A real etcd, API server, controller manager and scheduler on loopback, without root.

Everything lives in one folder: certificates, kubeconfigs, logs, the store. Nothing is kept when it stops but the logs.
"""

import base64
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from finetune_trainer.pod.ports import free_port

from finetune_sandbox import certificates, processes
from finetune_sandbox.binaries import binary

SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
LOOPBACK = "127.0.0.1"
ESTABLISHED = ("Established", "True")
AUDIT_LOG_MIB = 100_000
"""More than a bench writes: at its size, the log is put aside and begun anew."""
GARBAGE_MAY_LIE = {"GOGC": "400"}
"""Go's servers collect their garbage when the heap has grown fivefold: 200 MB more, and a third less CPU."""
START_ATTEMPTS = 3
"""Ports are chosen before they are bound; another program may be quicker."""


class ControlPlaneError(Exception):
    """A server did not start, or kubectl failed; the message carries its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a test may want to be different."""

    workloads: bool = True
    """Whether controller manager and scheduler run; a test of the CRD needs neither."""
    audit: bool = False
    """Whether every request is written to `audit.log`, one JSON object a line."""
    requests_per_second: int = 200
    """The client limit of controller manager and scheduler: Kubernetes' own (20, 50) would be what a bench measures."""
    listen: str = LOOPBACK
    """The API server's address."""
    port: int = 0
    """The API server's port; any free one when 0."""
    api_server_flags: tuple[str, ...] = ()
    """Further flags of the API server."""
    controller_manager_flags: tuple[str, ...] = ()
    """Further flags of the controller manager, for example --node-monitor-grace-period=5s."""
    scheduler: dict[str, Any] = field(default_factory=dict)
    """Further fields of the scheduler's configuration."""


class ControlPlane:
    """A Kubernetes without nodes, to be used in a `with` statement.

    Enter it in the main thread: the servers die with the thread that started them.
    """

    def __init__(self, folder: Path, options: Options | None = None) -> None:
        self.folder = folder
        self.options = options or Options()
        self.authority = certificates.Authority()
        self.port = 0
        self.kubeconfig = folder / "admin.kubeconfig"
        self.audit_log = folder / "audit.log"
        self.log_folder = folder / "logs"
        self.ca_file = folder / "ca.crt"
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://{self.options.listen}:{self.port}"

    def __enter__(self) -> Self:
        self.log_folder.mkdir(parents=True, exist_ok=True)
        for left in range(START_ATTEMPTS - 1, -1, -1):
            try:
                self._start()
            except ControlPlaneError as failure:
                self.stop()
                if not left or "address already in use" not in str(failure):
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return self
        raise AssertionError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the servers and forget the store; the logs stay."""
        for server in reversed(self._servers.values()):
            # Nothing of a test's cluster is worth the half minute in which an API server takes leave of its watchers.
            server.kill()
            server.wait()
        self._servers.clear()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl as administrator (or with another kubeconfig); raises with its words when it fails."""
        # A cache in HOME would know the discovery of an older cluster on the same port.
        own = ("--cache-dir", self.folder / "kubectl", "--kubeconfig", kubeconfig or self.kubeconfig)
        done = subprocess.run(
            (binary("kubectl"), *own, *arguments),
            env={**os.environ, "GOGC": "off"},  # It ends before it has garbage worth collecting.
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ControlPlaneError(done.stderr.strip())
        return done.stdout

    def apply(self, *manifests: dict[str, Any]) -> None:
        """`kubectl apply` these objects."""
        # JSON, since PyYAML leaves a name such as y bare, which Go's YAML takes for true.
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def user(self, name: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig for a user, for example system:node:a in group system:nodes."""
        pair = self.authority.user(name, groups)
        identity = {
            "client-certificate-data": base64.b64encode(pair.certificate).decode(),
            "client-key-data": base64.b64encode(pair.key).decode(),
        }
        return self._written_kubeconfig(name, identity)

    def service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a token of a ServiceAccount that exists."""
        token = self.kubectl("create", "token", name, "--namespace", namespace, "--duration", "24h").strip()
        return self._written_kubeconfig(f"{namespace}.{name}", {"token": token})

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request of the administrator's, at a tenth of a kubectl's cost; raises with the server's words."""
        content = None if body is None else json.dumps(body).encode()
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(self.url + path, content, {"Content-Type": kind}, method=method)  # noqa: S310 (ours)
        try:
            with urllib.request.urlopen(request, context=self._client_context(), timeout=60) as answer:  # noqa: S310 (ours)
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            words = refused.read().decode()
            is_status = refused.headers.get_content_type() == "application/json"
            raise ControlPlaneError(json.loads(words)["message"] if is_status else words) from refused

    def namespace(self, name: str) -> str:
        """Create a namespace in which pods can be created at once."""
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        if self.options.workloads:
            self._wait_for(f"/api/v1/namespaces/{name}/serviceaccounts/default")
        return name

    def install_crds(self, folder: Path) -> None:
        """Apply the CustomResourceDefinitions of a folder and wait until they are served."""
        self.kubectl("apply", "--server-side", "-f", str(folder))
        # Not `kubectl wait`, which stumbles over a definition that has no status yet.
        self._until(lambda: self._are_established(folder), "The CustomResourceDefinitions")

    def audited(self) -> Iterator[dict[str, Any]]:
        """The requests that were answered so far, from the audit log."""
        if self.audit_log.exists():
            with self.audit_log.open() as lines:
                yield from map(json.loads, lines)

    def _start(self) -> None:
        self.port = self.options.port or free_port(self.options.listen)
        self._write_certificates()
        self.user("admin", ("system:masters",))
        etcd_url = f"http://{LOOPBACK}:{free_port()}"
        self._launch("etcd", self._etcd_flags(etcd_url))
        self._launch("kube-apiserver", self._api_server_flags(etcd_url))
        self._wait_for("/readyz")
        if self.options.workloads:
            self._launch("kube-controller-manager", self._controller_manager_flags())
            configuration = self._written_scheduler_configuration()
            self._launch("kube-scheduler", (f"--config={configuration}", "--secure-port=0"))
            # Without it the first pod would be refused: serviceaccount "default" not found.
            self._wait_for("/api/v1/namespaces/default/serviceaccounts/default")

    def _launch(self, name: str, flags: tuple[str, ...]) -> None:
        log = self.log_folder / f"{name}.log"
        self._servers[name] = processes.start((str(binary(name)), *flags), log, {**GARBAGE_MAY_LIE, **os.environ})

    def _wait_for(self, path: str) -> None:
        trust = self._client_context()
        self._until(lambda: self._answers(path, trust), path)

    def _until(self, is_so: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            self._raise_if_one_has_ended()
            if time.monotonic() > deadline:
                words = self._last_words("kube-apiserver")
                raise ControlPlaneError(f"{what} did not get ready within {seconds} s. {words}")
            time.sleep(0.05)

    def _are_established(self, folder: Path) -> bool:
        found = json.loads(self.kubectl("get", "-f", str(folder), "-o", "json"))
        definitions = found["items"] if found["kind"] == "List" else [found]
        conditions = [definition.get("status", {}).get("conditions") or [] for definition in definitions]
        return all(any((each["type"], each["status"]) == ESTABLISHED for each in of_one) for of_one in conditions)

    def _answers(self, path: str, trust: ssl.SSLContext) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, context=trust, timeout=5) as answer:  # noqa: S310 (ours)
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.load_cert_chain(self.folder / "probe.crt", self.folder / "probe.key")
        return context

    def _raise_if_one_has_ended(self) -> None:
        for name, server in self._servers.items():
            if server.poll() is not None:
                raise ControlPlaneError(f"{name} ended with code {server.returncode}. {self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        log = self.log_folder / f"{name}.log"
        return f"The end of {log}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])

    def _write_certificates(self) -> None:
        hosts = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
        addresses = tuple(dict.fromkeys((LOOPBACK, self.options.listen, SERVICE_ADDRESS)))
        self.ca_file.write_bytes(self.authority.certificate)
        pairs = {
            "apiserver": self.authority.server("kube-apiserver", hosts, addresses),
            "probe": self.authority.user("probe", ("system:masters",)),
            "service-accounts": certificates.signing_key(),
        }
        for name, pair in pairs.items():
            (self.folder / f"{name}.crt").write_bytes(pair.certificate)
            self._write_secret(f"{name}.key", pair.key)

    def _write_secret(self, name: str, content: bytes) -> Path:
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_bytes(content)
        return file

    def _written_kubeconfig(self, name: str, identity: dict[str, str]) -> Path:
        authority = base64.b64encode(self.authority.certificate).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": cluster}],
            "users": [{"name": name, "user": identity}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": name}}],
            "current-context": "sandbox",
        }
        return self._write_secret(f"{name.replace(':', '.')}.kubeconfig", yaml.safe_dump(config).encode())

    def _etcd_flags(self, url: str) -> tuple[str, ...]:
        peer = f"http://{LOOPBACK}:{free_port()}"
        return (
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )

    def _api_server_flags(self, etcd_url: str) -> tuple[str, ...]:
        return (
            f"--etcd-servers={etcd_url}",
            f"--bind-address={self.options.listen}",
            f"--advertise-address={self.options.listen}",
            f"--secure-port={self.port}",
            # The kubernetes Service has no loopback endpoints.
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self.folder}",
            f"--tls-cert-file={self.folder / 'apiserver.crt'}",
            f"--tls-private-key-file={self.folder / 'apiserver.key'}",
            f"--client-ca-file={self.ca_file}",
            f"--service-account-key-file={self.folder / 'service-accounts.crt'}",
            f"--service-account-signing-key-file={self.folder / 'service-accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=Node,RBAC",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--allow-privileged=true",
            "--profiling=false",
            *self._audit_flags(),
            *self.options.api_server_flags,
        )

    def _audit_flags(self) -> tuple[str, ...]:
        if not self.options.audit:
            return ()
        policy = self.folder / "audit-policy.yaml"
        rules = {"omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
        policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **rules}))
        return (
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            f"--audit-log-maxsize={AUDIT_LOG_MIB}",
        )

    def _controller_manager_flags(self) -> tuple[str, ...]:
        limit = self.options.requests_per_second
        return (
            f"--kubeconfig={self.user('system:kube-controller-manager')}",
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            f"--root-ca-file={self.ca_file}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
            f"--kube-api-qps={limit}",
            f"--kube-api-burst={2 * limit}",
            *self.options.controller_manager_flags,
        )

    def _written_scheduler_configuration(self) -> Path:
        limit = self.options.requests_per_second
        connection = {"kubeconfig": str(self.user("system:kube-scheduler")), "qps": limit, "burst": 2 * limit}
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": connection,
            **self.options.scheduler,
        }
        file = self.folder / "scheduler.yaml"
        file.write_text(yaml.safe_dump(configuration))
        return file
