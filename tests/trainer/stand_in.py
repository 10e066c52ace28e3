"""`stand_in.py SOCKET -m module args...`: `python -m module args...` in a process that a forkserver has forked.

It imports as little as it can, for a session runs it a thousand times.
"""

import array
import json
import os
import signal
import socket
import sys


def stand_in(path: str, arguments: list[str]) -> int:
    """Have the server start the program, and end as it does."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    body = json.dumps({"argv": arguments, "env": dict(os.environ), "cwd": os.getcwd()}).encode()  # noqa: PTH109
    descriptors = array.array("i", [0, 1, 2])
    connection.sendmsg([f"{len(body):8}".encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    connection.sendall(body)
    answers = connection.makefile()
    pid = json.loads(answers.readline())["pid"]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: os.kill(pid, received))
    code = json.loads(answers.readline() or '{"code": 1}')["code"]
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    return int(code)


if __name__ == "__main__":
    sys.exit(stand_in(sys.argv[1], sys.argv[2:]))
