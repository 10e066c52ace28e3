"""Object storage on loopback, by real programs: an S3 gateway over a folder, and a server of Google's protocol."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.pod.ports import free_port

from finetune_sandbox import processes
from finetune_sandbox.binaries import binary

STARTUP = 30.0
KEY = "sandbox"
SECRET = "sandbox-secret-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """A server with its buckets, each a folder."""

    root: Path
    scheme: str
    environment: Mapping[str, str]
    """What a client needs to reach it."""

    def folder(self, bucket: str) -> Path:
        """A bucket's objects, as files."""
        return self.root / bucket


@contextmanager
def s3(folder: Path, *buckets: str) -> Iterator[Buckets]:
    """An S3 server while the block lasts; it checks signatures."""
    root, port = _laid_out(folder, buckets), free_port()
    where = ("--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET, "--quiet", "posix")
    beside = ("--sidecar", str(folder / "attributes"))  # Not every file system has extended attributes.
    (folder / "attributes").mkdir()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with _serving((str(binary("versitygw")), *where, *beside, str(root)), folder, port):
        yield Buckets(root=root, scheme="s3", environment=environment)


@contextmanager
def gcs(folder: Path, *buckets: str) -> Iterator[Buckets]:
    """A server of Google's protocol while the block lasts; it knows no credentials."""
    root, port = _laid_out(folder, buckets), free_port()
    where = ("-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-log-level", "error")
    what = ("-backend", "filesystem", "-filesystem-root", str(root), "-public-host", f"127.0.0.1:{port}")
    with _serving((str(binary("fake-gcs-server")), *where, *what), folder, port):
        yield Buckets(root=root, scheme="gs", environment={"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"})


def _laid_out(folder: Path, buckets: tuple[str, ...]) -> Path:
    for bucket in buckets:
        (folder / "buckets" / bucket).mkdir(parents=True)
    return folder / "buckets"


@contextmanager
def _serving(arguments: tuple[str, ...], folder: Path, port: int) -> Iterator[None]:
    server = processes.start(arguments, folder / "server.log", os.environ)
    try:
        _wait(server, folder, port)
        yield
    finally:
        processes.stop(server)


def _wait(server: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    deadline = time.monotonic() + STARTUP
    while not _answers(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"The buckets do not answer; their log is {folder / 'server.log'}.")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10):
            return True
    except urllib.error.HTTPError:
        return True  # It wants to be asked politely.
    except OSError:
        return False
