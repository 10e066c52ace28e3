"""Buckets, s3:// and gs://: their objects by name, and what a store's answers mean for the job.

Credentials are the environment's, as the stores' own programs read them: `AWS_ACCESS_KEY_ID`, `AWS_REGION`, a role of
the pod, `GOOGLE_APPLICATION_CREDENTIALS`; for a store of one's own, such as MinIO, `AWS_ENDPOINT_URL`.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from finetune_trainer.contract.model import Model
from finetune_trainer.errors import ConfigurationError, RetryLater

SCHEMES = ("s3://", "gs://")
DENIED = (
    *("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID", "EXPIRED_TOKEN"),
    *("HTTP status 400", "HTTP status 401", "HTTP status 403", "PERMISSION_DENIED", "UNAUTHENTICATED"),
    "Could not create a OAuth2 access token",
)
"""What Arrow says of a store that does not let us."""
AWAY = ("UNAVAILABLE",)
"""What Google's client says when it has given up; why comes after it."""
ABSENT = ("NO_SUCH_BUCKET", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND", "NOT_FOUND")
ELSEWHERE = ("HTTP status 301", "PERMANENT_REDIRECT")
"""What S3 says of a bucket of another region."""
PATIENCE = timedelta(seconds=20)
"""How long a request to Google is tried again."""
DELIVERY = "finetune-delivery.json"
CHUNK = 32 << 20
"""Bytes of one request; each waits for the network once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """One object of a folder."""

    name: str
    """Its name below the folder."""
    path: str
    """Its bucket and key."""
    size: int
    changed: datetime


class Delivery(Model):
    """The list of a delivered model's files: written first as incomplete, and last as complete."""

    complete: bool
    job: str
    """The uid of the job."""
    files: dict[str, str] = {}
    """The SHA-256 of each file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What a uri names: the objects below a prefix, or a single one."""

    uri: str
    field: str
    """The field that names it, for messages."""
    store: Any
    """The pyarrow filesystem."""

    @property
    def path(self) -> str:
        """Bucket and prefix."""
        return self.uri.partition("://")[2].strip("/")

    def objects(self) -> tuple[Object, ...]:
        """All objects, by name; one alone where the uri names it; none where nothing is."""
        from pyarrow import fs

        with border(self.uri, self.field):
            whole = self.store.get_file_info(self.path)
            if whole.type == fs.FileType.File:
                return (_object(whole, PurePosixPath(self.path).parent),)
            self._refuse_absent_bucket(is_absent=whole.type == fs.FileType.NotFound)
            below = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
            found = (one for one in self.store.get_file_info(below) if one.type == fs.FileType.File)
            return tuple(sorted((_object(one, PurePosixPath(self.path)) for one in found), key=lambda one: one.name))

    def fetch(self, one: Object, into: Path) -> None:
        """Copy an object into a local folder."""
        path = into / one.name
        if not path.resolve().is_relative_to(into.resolve()):
            raise ConfigurationError("UnreadableFile", f"{self.uri} holds {one.name}, which is no name of a file.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            border(self.uri, self.field),
            self.store.open_input_stream(one.path, compression=None) as source,
            path.open("wb") as copy,
        ):
            shutil.copyfileobj(source, copy, CHUNK)

    def read(self, name: str) -> bytes | None:
        """A small object's content; none where it is not."""
        path = f"{self.path}/{name}"
        with border(self.uri, self.field):
            if not self.store.get_file_info(path).is_file:
                return None
            with self.store.open_input_stream(path, compression=None) as source:
                content: bytes = source.read()
                return content

    def delivery(self) -> Delivery | None:
        """What was delivered here; none where no job did so."""
        said = self.read(DELIVERY)
        with suppress(ValueError):  # A file of the same name is somebody else's.
            return None if said is None else Delivery.model_validate_json(said)
        return None

    def write(self, name: str, content: bytes | Path) -> None:
        """Put an object."""
        with border(self.uri, self.field), self.store.open_output_stream(f"{self.path}/{name}") as target:
            if isinstance(content, bytes):
                target.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, target, CHUNK)

    def remove(self, name: str) -> None:
        """Take an object away."""
        with border(self.uri, self.field):
            self.store.delete_file(f"{self.path}/{name}")

    def _refuse_absent_bucket(self, *, is_absent: bool) -> None:
        from pyarrow import fs

        bucket = PurePosixPath(self.path).parts[0]
        if is_absent and self.store.get_file_info(bucket).type == fs.FileType.NotFound:
            raise ConfigurationError(
                "BucketNotFound",
                f"{self.field}: there is no bucket {bucket}. Correct {self.uri}, or create the bucket.",
            )


def folder(uri: str, field: str, env: Mapping[str, str] = os.environ) -> Folder:
    """A place in a store, not asked for anything yet."""
    with border(uri, field):
        return Folder(uri=uri, field=field, store=_s3(uri, env) if uri.startswith("s3://") else _gcs(env))


def _s3(uri: str, env: Mapping[str, str]) -> Any:
    from pyarrow import fs

    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    options: dict[str, Any] = {}
    if endpoint:
        parts = urlsplit(endpoint)
        options = {"scheme": parts.scheme, "endpoint_override": parts.netloc, "region": region or "us-east-1"}
    else:
        options = {"region": region or fs.resolve_s3_region(urlsplit(uri).netloc)}
    return fs.S3FileSystem(
        **options,
        connect_timeout=10,
        check_directory_existence_before_creation=True,
        tls_ca_file_path=env.get("AWS_CA_BUNDLE") or None,
    )


def _gcs(env: Mapping[str, str]) -> Any:
    from pyarrow import fs

    emulator = env.get("STORAGE_EMULATOR_HOST")
    if not emulator:
        return fs.GcsFileSystem(retry_time_limit=PATIENCE)
    parts = urlsplit(emulator if "://" in emulator else f"http://{emulator}")
    return fs.GcsFileSystem(
        anonymous=True, scheme=parts.scheme, endpoint_override=parts.netloc, retry_time_limit=PATIENCE
    )


def _object(info: Any, below: PurePosixPath) -> Object:
    name = PurePosixPath(info.path).relative_to(below).as_posix()
    return Object(name=name, path=info.path, size=info.size, changed=info.mtime)


@contextmanager
def border(uri: str, field: str) -> Iterator[None]:
    """Say whose turn it is when a store does not give what was asked for."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as problem:
        if getattr(problem, "errno", None) is not None and not isinstance(problem, FileNotFoundError):
            raise  # This machine's own, for example a full disk.
        raise _in_words(problem, uri, field) from problem


def _in_words(problem: Exception, uri: str, field: str) -> ConfigurationError | RetryLater:
    said = str(problem)
    if any(sign in said for sign in DENIED) and not any(sign in said for sign in AWAY):
        return ConfigurationError(
            "BucketDenied",
            f"{field}: {uri} is refused to this job: {_brief(said)}. Put credentials that may use it into a Secret, "
            "and name it in podTemplate.env.",
        )
    if any(sign in said for sign in ELSEWHERE):
        return ConfigurationError(
            "BucketElsewhere", f"{field}: {uri} is in another region. Set AWS_REGION in podTemplate.env to it."
        )
    if isinstance(problem, FileNotFoundError) or any(sign in said for sign in ABSENT):
        return ConfigurationError("BucketNotFound", f"{field}: {uri} is not there: {_brief(said)}. Correct it.")
    return RetryLater("BucketUnreachable", f"{uri} cannot be reached: {_brief(said)}. It is tried again.")


def _brief(said: str) -> str:
    """The sentence of a store's answer, without what only its own people can use."""
    for what_follows in (" error_info=", " (Request ID"):
        said = said.partition(what_follows)[0]
    return " ".join(said.split()).rstrip(".")
