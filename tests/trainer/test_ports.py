"""A port that is found free can be listened on a moment later."""

import socket
from pathlib import Path

from finetune_trainer.pod.ports import BELOW_CONNECTIONS, free_port

FIRST_OF_CONNECTIONS = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_no_outgoing_connection_takes_a_free_port_in_between() -> None:
    assert BELOW_CONNECTIONS.stop <= FIRST_OF_CONNECTIONS


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        assert listener.getsockname()[1] in BELOW_CONNECTIONS
