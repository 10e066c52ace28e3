"""`port.Cluster` over the Kubernetes API: `kubernetes.aio` logs in, aiohttp transports, objects are plain dicts.

The generated API classes are left aside: their models cost more CPU per call than the call itself.
"""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from finetune_operator.cluster import port
from finetune_operator.cluster.port import Change, ChangeType, Kind, Listing, Manifest, Selection

REQUEST = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
"""From the moment that a request has a connection: a total would count its wait for one, too."""
WATCH_SECONDS = 300
"""How long the server keeps a watch open, at least; up to half as long again, so that watches do not end together."""
WATCH = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=90)
"""The server sends a bookmark about every minute: a longer silence is a dead connection."""
LINE_BYTES = 2**21
"""The longest line of a watch: an object may have 1.5 MiB."""
CONNECTIONS = 64
"""Enough for two busy cores; each costs a TLS handshake."""
KEEP_ALIVE_SECONDS = 75
PAGE = 500
SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
USER_AGENT = "finetune-operator"
"""Also the manager's name in managedFields."""
ERRORS: Mapping[int, type[port.ClusterError]] = {
    HTTPStatus.UNAUTHORIZED: port.Unavailable,
    HTTPStatus.NOT_FOUND: port.NotFound,
    HTTPStatus.REQUEST_TIMEOUT: port.Unavailable,
    HTTPStatus.CONFLICT: port.Conflict,
    HTTPStatus.GONE: port.Expired,
    HTTPStatus.TOO_MANY_REQUESTS: port.Unavailable,
}
"""Any other 4xx is refused, any 5xx is unavailable."""


class LoginFailed(Exception):
    """Nothing here says how to reach an API server; the message says what was tried and what to do."""


class ApiServer:
    """The API server as a `port.Cluster`; close it when done."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        tls = RESTClientObject(configuration).ssl_context
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=LINE_BYTES,
            # With it, aiohttp looks for a .netrc twice per request, in a thread; a proxy comes from the kubeconfig.
            trust_env=False,
            proxy=configuration.proxy,
        )

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def credentials(self) -> dict[str, Any]:
        """Server and credentials, by the names of `kopf.ConnectionInfo`: one login for both."""
        known, settings = self._configuration, await self._configuration.auth_settings()
        scheme, _, secret = settings.get("BearerToken", {}).get("value", "").partition(" ")
        return {
            "server": known.host,
            "ca_path": known.ssl_ca_cert,
            "ca_data": known.ca_cert_data,
            "insecure": not known.verify_ssl,
            "certificate_path": known.cert_file,
            "private_key_path": known.key_file,
            "scheme": scheme.capitalize() or None,
            "token": secret or None,
            "proxy_url": known.proxy,
        }

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """The object, None when there is none."""
        try:
            return await self._call("GET", path(kind, namespace, name))
        except port.NotFound:
            return None

    async def list(self, selection: Selection) -> Listing:
        """A consistent list, straight from the store, fetched in pages."""
        try:
            return await self._pages(selection, {"limit": str(PAGE)})
        except port.Expired:
            # The store was compacted between two pages: once more, in one.
            return await self._pages(selection, {})

    async def watch(self, selection: Selection, resource_version: str) -> AsyncGenerator[Change]:
        """Changes since that version, bookmarks too; ends when the server closes it, raises `Expired` on 410."""
        query = selector(selection) | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(int(WATCH_SECONDS * random.uniform(1, 1.5))),  # noqa: S311 (spread, no secret)
        }
        async with converted():
            where = path(selection.kind, selection.namespace)
            response = await self._request("GET", where, query=query, timeout=WATCH)
            try:
                async for line in response.content:
                    yield change(line)
            finally:
                response.close()

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create; raises `AlreadyExists`, `Refused` (also for a namespace that is absent or going)."""
        try:
            return await self._call("POST", path(kind, namespace_of(manifest)), body=manifest)
        except port.NotFound as absent:
            raise port.Refused(str(absent)) from absent
        except port.Conflict as busy:
            # Not about this object: for example a quota whose usage was being counted.
            raise port.Unavailable(str(busy)) from busy

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Replace the object; its resourceVersion must still be the present one, else `Conflict`."""
        name = manifest["metadata"]["name"]
        return await self._call("PUT", path(kind, namespace_of(manifest), name), body=manifest)

    async def patch_status(
        self, kind: Kind, namespace: str | None, name: str, status: Manifest, *, resource_version: str | None = None
    ) -> Manifest:
        """Merge-patch the status subresource; `Conflict` when the version is given and no longer the present one."""
        body: Manifest = {"status": status}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        where = path(kind, namespace, name) + "/status"
        return await self._call("PATCH", where, body=body, content_type=MERGE_PATCH)

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Delete; an object that is gone is no error; `Conflict` when another uid has taken the name."""
        body: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._call("DELETE", path(kind, namespace, name), body=body)
        except port.NotFound:
            return

    async def _pages(self, selection: Selection, query: dict[str, str]) -> Listing:
        items: list[Manifest] = []
        page: Manifest = {"metadata": {"continue": ""}}
        named = {"apiVersion": selection.kind.api_version, "kind": selection.kind.kind}
        while True:
            here = selector(selection) | query | token(page)
            page = await self._call("GET", path(selection.kind, selection.namespace), query=here)
            items.extend(named | item for item in page["items"])
            if not token(page):
                return Listing(tuple(items), page["metadata"]["resourceVersion"])

    async def _call(
        self,
        method: str,
        where: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = JSON,
    ) -> Manifest:
        async with converted():
            response = await self._request(method, where, query=query, body=body, content_type=content_type)
            answer: Manifest = orjson.loads(await response.read())
            return answer

    async def _request(
        self,
        method: str,
        where: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = JSON,
        timeout: aiohttp.ClientTimeout = REQUEST,  # noqa: ASYNC109 (aiohttp's own, for connect and read apart)
    ) -> aiohttp.ClientResponse:
        url = self._configuration.host + where + (f"?{urlencode(query)}" if query else "")
        headers = await self._headers(content_type)
        response = await self._session.request(
            method,
            url,
            headers=headers,
            data=None if body is None else orjson.dumps(body),
            timeout=timeout,
            proxy_headers=self._configuration.proxy_headers,
            server_hostname=self._configuration.tls_server_name,
        )
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise error(response.status, await response.read())
        return response

    async def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Content-Type": content_type, "Accept": JSON, "User-Agent": USER_AGENT}
        for setting in (await self._configuration.auth_settings()).values():
            headers[setting["key"]] = setting["value"]
        return headers


async def api_server(kubeconfig: str | None = None) -> ApiServer:
    """Log in with this kubeconfig; else in a pod as its service account, elsewhere with the user's own kubeconfig.

    Raises `LoginFailed`.
    """
    configuration = Configuration()
    in_a_pod = kubeconfig is None and SERVICE_ACCOUNT_TOKEN.exists()  # noqa: ASYNC240 (once, before anything runs)
    try:
        if in_a_pod:
            config.load_incluster_config(client_configuration=configuration)
        else:
            # persist_config would write refreshed tokens into a file that is the user's.
            await config.load_kube_config(kubeconfig, client_configuration=configuration, persist_config=False)
        return ApiServer(configuration)
    except Exception as why:  # A file of any shape may come here, and the loader has as many kinds of errors.
        tried = "the pod's service account" if in_a_pod else f"the kubeconfig {kubeconfig or 'of this user'}"
        raise LoginFailed(
            f"The operator cannot log in with {tried}: {' '.join(str(why).split()) or type(why).__name__}. Outside a "
            "cluster, name a kubeconfig in --kubeconfig or KUBECONFIG."
        ) from why


def path(kind: Kind, namespace: str | None, name: str | None = None) -> str:
    """Where the API serves a kind, or one object of it."""
    base = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{base}{place}/{kind.plural}" + (f"/{name}" if name else "")


def selector(selection: Selection) -> dict[str, str]:
    """The query that selects by labels."""
    terms = [name if value is None else f"{name}={value}" for name, value in selection.labels.items()]
    return {"labelSelector": ",".join(terms)} if terms else {}


def token(page: Manifest) -> dict[str, str]:
    """The query for the page after this one; empty after the last."""
    following = page["metadata"].get("continue")
    return {"continue": following} if following else {}


def namespace_of(manifest: Manifest) -> str | None:
    """The namespace of an object."""
    found: str | None = manifest["metadata"].get("namespace")
    return found


def change(line: bytes) -> Change:
    """One line of a watch; an error in the stream is raised."""
    event = orjson.loads(line)
    if event["type"] == "ERROR":
        raise error(event["object"].get("code", 500), orjson.dumps(event["object"]))
    return Change(ChangeType(event["type"]), event["object"])


def error(status: int, body: bytes) -> port.ClusterError:
    """What the API server answered, as one of the port's errors."""
    told = told_by(body)
    message = told.get("message") or f"HTTP {status}: {body[:200].decode(errors='replace')}"
    if told.get("reason") == "AlreadyExists":
        return port.AlreadyExists(message)
    is_lasting = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return ERRORS.get(status, port.Refused if is_lasting else port.Unavailable)(message)


def told_by(body: bytes) -> dict[str, Any]:
    """The Status in an error's body; empty when a proxy or something else answered."""
    try:
        told = orjson.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


@asynccontextmanager
async def converted() -> AsyncIterator[None]:
    """Turn what the transport raises into the port's errors; the one border where this is done."""
    try:
        yield
    except TimeoutError as late:
        raise port.Unavailable("The API server did not answer in time.") from late
    except config.ConfigException as without:
        # A service account's token is read anew every minute, and the file may be empty just then.
        raise port.Unavailable(f"The credentials cannot be read: {without}") from without
    except (aiohttp.ClientError, OSError, ValueError) as broken:
        raise port.Unavailable(f"The API server cannot be reached: {str(broken) or repr(broken)}") from broken
