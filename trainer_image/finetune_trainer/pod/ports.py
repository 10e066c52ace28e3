"""Ports of this machine."""

import contextlib
import secrets
import socket

BELOW_CONNECTIONS = range(20_000, 30_000)
"""Where Linux takes no port for an outgoing connection, and Kubernetes none for a Service: what is free stays free."""
TRIES = 100


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now; raises OSError when there is none."""
    for _ in range(TRIES):
        port = secrets.choice(BELOW_CONNECTIONS)  # Draws from no generator that training draws from.
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind((address, port))
            return port
    raise OSError(f"None of {TRIES} ports is free.")
