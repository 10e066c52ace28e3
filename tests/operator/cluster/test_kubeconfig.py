"""What a kubeconfig says about the way to the API server is what the client does."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from finetune_operator.cluster.client import ApiServer, LoginFailed, api_server
from finetune_operator.cluster.port import CONFIG_MAP, Selection, Unavailable
from finetune_sandbox.certificates import Authority, KeyPair
from kubernetes.aio.client import Configuration
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

EMPTY = {"kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}, "items": []}
SELECTION = Selection(kind=CONFIG_MAP, namespace="team")


@asynccontextmanager
async def answering(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that has no objects: its port, and what it was asked for, as it stood in the request."""
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(str(request.url))
        return web.json_response(EMPTY)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1], asked
    finally:
        await runner.cleanup()


@asynccontextmanager
async def logged_in(folder: Path, **cluster: str) -> AsyncIterator[ApiServer]:
    """Our client with a kubeconfig that describes the cluster so."""
    kubeconfig = folder / "kubeconfig"
    context = {"cluster": "here", "user": "me"}
    content = {
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": context}],
        "current-context": "here",
    }
    kubeconfig.write_text(yaml.safe_dump(content))
    server = await api_server(str(kubeconfig))
    try:
        yield server
    finally:
        await server.close()


def serving(folder: Path, pair: KeyPair) -> ssl.SSLContext:
    """TLS with this certificate."""
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


async def test_a_proxy_is_asked_by_our_client_and_told_to_kopf(tmp_path: Path) -> None:
    async with answering() as (port, asked):
        proxy = f"http://127.0.0.1:{port}"
        async with logged_in(tmp_path, server="http://api.invalid:6443", **{"proxy-url": proxy}) as server:
            listing = await server.list(SELECTION)
            told = await server.credentials()
    assert (listing.resource_version, told["proxy_url"]) == ("7", proxy)
    assert asked[0].startswith("http://api.invalid:6443/api/v1/namespaces/team/configmaps")


async def test_the_server_proves_the_name_that_the_kubeconfig_gives_it(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    tls = serving(tmp_path, authority.server("api", ("api.internal",), ()))
    async with answering(tls) as (port, asked):
        cluster = {"certificate-authority": str(tmp_path / "ca.crt"), "tls-server-name": "api.internal"}
        async with logged_in(tmp_path, server=f"https://127.0.0.1:{port}", **cluster) as server:
            listing = await server.list(SELECTION)
    assert (listing.resource_version, len(asked)) == ("7", 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "Expected key current-context", id="absent"),
        pytest.param("a: [b", "expected ',' or ']'", id="no YAML"),
        pytest.param("- a", "list indices", id="a list"),
        pytest.param("current-context: c", "Expected object with name c", id="without contexts"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_told_with_the_next_step(
    tmp_path: Path, content: str | None, why: str
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)
    with pytest.raises(LoginFailed) as raised:
        await api_server(str(kubeconfig))
    said = str(raised.value)
    assert said.startswith(f"The operator cannot log in with the kubeconfig {kubeconfig}: ")
    assert (why in said, "--kubeconfig or KUBECONFIG." in said, "\n" in said) == (True, True, False)


async def test_a_token_that_cannot_be_read_now_is_an_outage(tmp_path: Path) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("secret")
    authority.write_bytes(Authority().certificate)
    where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    loader = InClusterConfigLoader(token, authority, environ=where)
    configuration = Configuration()
    loader.load_and_set(configuration)
    token.write_text("")
    loader.token_expires_at = datetime.now() - timedelta(seconds=1)  # noqa: DTZ005 (the loader's)
    server = ApiServer(configuration)
    with pytest.raises(Unavailable, match="Token file exists but empty"):
        await server.list(SELECTION)
    await server.close()
