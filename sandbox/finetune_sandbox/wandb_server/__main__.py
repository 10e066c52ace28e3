"""`python -m finetune_sandbox.wandb_server --state DIR [--port N]`: the server as a process."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from finetune_sandbox.loopback import serve_until_signal
from finetune_sandbox.wandb_server.faults import Faults
from finetune_sandbox.wandb_server.server import Settings, Surface
from finetune_sandbox.wandb_server.store import FolderInUse


def main() -> None:
    """Serve until a signal comes; the first line printed is the address."""
    parser = argparse.ArgumentParser(prog="python -m finetune_sandbox.wandb_server", description=main.__doc__)
    parser.add_argument("--state", type=Path, required=True, help="The folder that holds everything.")
    parser.add_argument("--host", default="127.0.0.1", help="The address to listen on.")
    parser.add_argument("--port", type=int, default=0, help="The port to listen on; 0 takes a free one.")
    parser.add_argument("--entity", default="sandbox", help="The default entity.")
    parser.add_argument(
        "--key", action="append", default=[], help="A good API key; none given: all long enough are good."
    )
    parser.add_argument("--admin-token", default="", help="What opens /admin; none given: nothing does.")
    parser.add_argument(
        "--heartbeat-timeout", type=float, default=300.0, help="Seconds of silence after which a run crashed."
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    settings = Settings(
        entity=given.entity,
        keys=tuple(given.key),
        admin_token=given.admin_token,
        heartbeat_timeout=given.heartbeat_timeout,
    )
    surface = Surface(given.state, settings, Faults())
    try:
        asyncio.run(serve_until_signal(surface.application(), host=given.host, port=given.port))
    except FolderInUse as taken:
        sys.exit(str(taken))


main()
