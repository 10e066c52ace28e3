"""`python -m finetune_sandbox.hub --root DIR [--port N]`: the hub as a process."""

import argparse
import asyncio
from pathlib import Path

from finetune_sandbox.hub.repositories import Repositories, furnish
from finetune_sandbox.hub.server import Access, Surface
from finetune_sandbox.loopback import serve_until_signal


def main() -> None:
    """Serve until a signal comes; the first line printed is the address."""
    parser = argparse.ArgumentParser(prog="python -m finetune_sandbox.hub", description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="The folder that holds the repositories.")
    parser.add_argument("--host", default="127.0.0.1", help="The address to listen on.")
    parser.add_argument("--port", type=int, default=0, help="The port to listen on; 0 takes a free one.")
    parser.add_argument(
        "--private", action="append", default=[], metavar="OWNER/NAME=TOKEN", help="Hidden without token."
    )
    parser.add_argument(
        "--gated", action="append", default=[], metavar="OWNER/NAME=TOKEN", help="Locked without token."
    )
    parser.add_argument(
        "--token", action="append", default=[], help="A good token; none given: all that begin with hf_ are good."
    )
    given = parser.parse_args()
    furnish(given.root)
    access = Access(tokens=frozenset(given.token), private=_tokens(given.private), gated=_tokens(given.gated))
    surface = Surface(Repositories(given.root), access)
    asyncio.run(serve_until_signal(surface.application(), host=given.host, port=given.port))


def _tokens(given: list[str]) -> dict[str, str]:
    return {name: token for name, _, token in (each.partition("=") for each in given)}


main()
