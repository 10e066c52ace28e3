"""`python -m finetune_sandbox.wandb_server --state DIR [--port N]`: the server as a process."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from aiohttp import web

from finetune_sandbox.wandb_server.faults import Faults
from finetune_sandbox.wandb_server.server import Settings, Surface, opened


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
    parser.add_argument(
        "--heartbeat-timeout", type=float, default=300.0, help="Seconds of silence after which a run crashed."
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    settings = Settings(entity=given.entity, keys=tuple(given.key), heartbeat_timeout=given.heartbeat_timeout)
    asyncio.run(_serve(given.state, given.host, given.port, settings))


async def _serve(state: Path, host: str, port: int, settings: Settings) -> None:
    store = opened(state)
    runner = web.AppRunner(
        Surface(store, settings, Faults()).application(), handle_signals=True, access_log=None, shutdown_timeout=0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        sys.stdout.write(f"http://{host}:{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    except web.GracefulExit:
        pass
    finally:
        await runner.cleanup()
        store.close()


main()
