"""Builds the images from their Dockerfiles with buildah, on a base that is made on the spot.

Everything is kept in the user's cache and reused by content: an unchanged layer costs nothing, a changed line of
code a second. `python -m finetune_sandbox.node.images` builds them alone.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from finetune_sandbox.binaries import cache_root, go_program

ROOT = Path(__file__).parents[3]
SUITE = "bookworm"
"""The Debian whose Python is the one that the locks are made for."""
BASE_PACKAGES = ("python3", "python3-venv", "python-is-python3", "ca-certificates")
BASE = f"localhost/finetune-base:{SUITE}"
CONTEXT = ("locks", "operator", "trainer_image")
DOCKERFILES = {"finetune-trainer": "trainer_image/Dockerfile", "finetune-operator": "operator/Dockerfile"}
PAUSE = "pause"
CERTIFICATES = "/etc/ssl/certs"
GIB = 1024**3
FIRST_BUILD = 24 * GIB
"""6 GB of environment, twice while it is committed, 3 in the registry, 6 unpacked; and a reserve."""
NEXT_BUILD = 4 * GIB
STORES = ("images", "registry", "containerd")
"""Of buildah, the registry and containerd: each holds the locked environment, of 3 to 7 GB."""
MADE_OF = "made-of"
"""The file beside them that says for which locks and Dockerfiles they were filled."""


class ImageError(Exception):
    """An image cannot be made here; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built image in buildah's store."""

    name: str
    identity: str
    """The digest of its configuration: another one for another content."""

    @property
    def tag(self) -> str:
        """Names the content, so that a node never runs an older image under the same name."""
        return self.identity[:12]


def folder() -> Path:
    """The user's folder of images, registry and container layers."""
    return cache_root().parent / "node"


@contextmanager
def reserved() -> Iterator[Path]:
    """The folder, for one user at a time: stores must not be shared by two daemons."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder()


def built() -> dict[str, Image]:
    """The images by name, made where they are missing or old."""
    _expect_programs()
    forget_superseded(folder(), ROOT)
    _expect_room()
    buildah("rm", "--all")  # A build that was cut short has left its container behind, of up to 6 GB.
    if not _identity(BASE):
        _make_base()
    context = _staged()
    images = {name: _bud(name, context / file, context) for name, file in DOCKERFILES.items()}
    return images | {PAUSE: _made_pause()}


def buildah(*arguments: str) -> str:
    """Run buildah on our own store; raises with its last words."""
    done = subprocess.run(
        ("buildah", *arguments),
        env=os.environ | {"CONTAINERS_STORAGE_CONF": str(_storage())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise ImageError(f"buildah {arguments[0]} failed:\n{words}")
    return done.stdout


def _expect_programs() -> None:
    missing = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        raise ImageError(
            f"{' and '.join(missing)} are missing: install the packages of {Path(__file__).with_name('packages.txt')}."
        )


def forget_superseded(stores: Path, root: Path) -> None:
    """Empty the stores when locks or Dockerfiles are others than those that they were filled for.

    Hardly anything of an old environment can be reused, and nothing else would ever remove it.
    """
    digest = hashlib.sha256()
    for file in (*sorted((root / "locks").glob("*.txt")), *(root / each for each in DOCKERFILES.values())):
        digest.update(file.read_bytes())
    note = stores / MADE_OF
    if note.exists() and note.read_text() == digest.hexdigest():
        return
    for store in STORES:
        shutil.rmtree(stores / store, ignore_errors=True)
    note.write_text(digest.hexdigest())


def _expect_room() -> None:
    is_first = not (folder() / "images").exists()
    needed = FIRST_BUILD if is_first else NEXT_BUILD
    folder().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder()).free
    if free < needed:
        raise ImageError(
            f"The images need {needed // GIB} GiB of free disk in {folder()}, where {free // GIB} GiB are free: "
            "make room, or point XDG_CACHE_HOME at a larger disk."
        )


def _storage() -> Path:
    """The configuration of our own store; the machine's own images stay untouched."""
    file = folder() / "storage.conf"
    roots = f'runroot = "{folder() / "run"}"\ngraphroot = "{folder() / "images"}"\n'
    file.write_text(f'[storage]\ndriver = "overlay"\n{roots}')
    return file


def _identity(reference: str) -> str | None:
    """The image's id; None when there is none."""
    found = buildah("images", "--quiet", "--no-trunc", "--filter", f"reference={reference}").split()
    return found[0].removeprefix("sha256:") if found else None


def _make_base() -> None:
    archive = folder() / "base.tar"
    include = f"--include={','.join(BASE_PACKAGES)}"
    made = subprocess.run(
        ("mmdebstrap", "--quiet", "--variant=minbase", include, SUITE, str(archive)),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise ImageError(f"mmdebstrap failed:\n{made.stderr[-2000:]}")
    container = buildah("from", "scratch").strip()
    buildah("add", container, str(archive), "/")
    buildah("commit", "--rm", container, BASE)
    archive.unlink()


def _staged() -> Path:
    """What the Dockerfiles copy, with the same times and modes in every checkout, so that layers are found again."""
    context = folder() / "context"
    shutil.rmtree(context, ignore_errors=True)
    for name in CONTEXT:
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (context, *context.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (0, 0))
    return context


def _bud(name: str, dockerfile: Path, context: Path) -> Image:
    reference = f"localhost/{name}:latest"
    given = ("--isolation", "chroot", "--network", "host", "--layers", "--build-arg", f"BASE_IMAGE={BASE}")
    buildah("bud", *given, *_of_this_machine(), "--tag", reference, "--file", str(dockerfile), str(context))
    return Image(name=name, identity=_identity(reference) or reference)


def _of_this_machine() -> Iterator[str]:
    """The authorities that this machine trusts, and what it has downloaded already."""
    if authorities := os.environ.get("SSL_CERT_FILE"):
        yield from ("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--env", f"SSL_CERT_FILE={authorities}")
    downloads = cache_root().parents[1] / "uv"
    downloads.mkdir(exist_ok=True)
    yield from ("--volume", f"{downloads}:/root/.cache/uv")


def _made_pause() -> Image:
    """The container that every pod has: a static program of ours in an otherwise empty image."""
    context = folder() / "pause"
    context.mkdir(exist_ok=True)
    build = partial(subprocess.run, capture_output=True, text=True, check=False)
    done = build(
        (go_program(), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(context / "pause"), "."),
        cwd=Path(__file__).with_name("pause"),
        env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
    )
    if done.returncode:
        raise ImageError(f"The pause program could not be built:\n{done.stderr}")
    dockerfile = context / "Dockerfile"
    dockerfile.write_text('FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n')
    return _bud(PAUSE, dockerfile, context)


def main() -> None:
    """Build all images and name them."""
    with reserved():
        for image in built().values():
            sys.stdout.write(f"{image.name} {image.tag}\n")


if __name__ == "__main__":
    main()
