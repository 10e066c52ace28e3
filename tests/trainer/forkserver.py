"""Starts Python programs from a process that has imported torch already: a second instead of ten.

Run as `forkserver.py SOCKET` it serves; run as `forkserver.py SOCKET -m module args...` it stands in for `python`.
The program's process is a child of the server; the stand-in passes signals on and ends as the program ends.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

HEADER = 8
SLOW = (
    *("accelerate", "datasets", "deepspeed", "peft", "scipy.io", "sklearn.metrics", "wandb"),
    *("finetune_trainer.attempt", "finetune_trainer.process.rank", "finetune_trainer.tasks.examples"),
    *("finetune_trainer.tasks.texts", "finetune_trainer.measuring.class_metrics"),
    *("fsspec.implementations.http", "opentelemetry.exporter.otlp.proto.http._log_exporter"),
    *("opentelemetry.exporter.otlp.proto.http.metric_exporter", "opentelemetry.sdk.metrics"),
    *("torch.distributed.algorithms.ddp_comm_hooks.default_hooks", "torch.distributed.elastic.rendezvous.registry"),
    *("torch.distributed.run", "trl.chat_template_utils", "trl.data_utils"),
    *("wandb.apis._generated.get_default_entity", "wandb.apis.public", "wandb.sdk.artifacts._models.pagination"),
    *(
        f"wandb.sdk.artifacts._generated.{name}"
        for name in (
            *("artifact_by_id", "artifact_membership_by_name", "fetch_artifact_manifest"),
            *("get_artifact_membership_file_urls", "project_artifact_collection", "project_artifacts"),
        )
    ),
)
"""What a trainer imports sooner or later."""
CLASSES = (
    *("BertForSequenceClassification", "BertTokenizerFast", "GPT2LMHeadModel", "LlamaForCausalLM"),
    *("PreTrainedTokenizerFast", "T5ForConditionalGeneration", "Trainer"),
)


def serve(path: str) -> None:
    """Import what is slow, then fork for every request until the socket's file is gone."""
    import transformers
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    for name in SLOW:
        importlib.import_module(name)
    for name in CLASSES:
        getattr(transformers, name)  # Is imported when it is first named.
    get_checkpoint_conversion_mapping("bert")  # Compiles the patterns of all models, and keeps them.

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(64)
    Path(path + ".new").rename(path)
    listener.settimeout(1)
    gc.collect()
    gc.freeze()  # What is here now is never looked through again, so its pages stay shared.
    children: dict[int, socket.socket] = {}
    while Path(path).exists():
        reap(children)
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        listener.settimeout(0.05)
        if (pid := os.fork()) == 0:
            listener.close()
            become(connection)
        children[pid] = connection


def reap(children: dict[int, socket.socket]) -> None:
    """Tell the stand-ins of ended programs how they ended; a program whose stand-in was killed is killed too."""
    for pid in tuple(children):
        if is_left_alone(children[pid]):
            with contextlib.suppress(OSError):  # It has just ended, or has no group of its own yet.
                os.killpg(pid, signal.SIGKILL)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            connection = children.pop(pid)
            with contextlib.suppress(OSError):  # The stand-in may have been killed.
                connection.sendall(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
            connection.close()


def is_left_alone(connection: socket.socket) -> bool:
    """Whether the stand-in at the other end is gone; what it has sent is left for the program to read."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def become(connection: socket.socket) -> None:
    """Be the program that was asked for, in this forked process."""
    connection.setblocking(True)
    descriptors = array.array("i")
    length, ancillary, _, _ = connection.recvmsg(HEADER, socket.CMSG_SPACE(3 * descriptors.itemsize))
    descriptors.frombytes(ancillary[0][2])
    size, content = int(length), b""
    while len(content) < size:
        content += connection.recv(size - len(content))
    request = json.loads(content)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    connection.sendall(json.dumps({"pid": os.getpid()}).encode() + b"\n")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    arguments = [one for one in request["argv"] if one != "-u"]
    sys.argv = [arguments[1], *arguments[2:]]
    sys.path.insert(0, request["cwd"])  # As -m does.
    sys.modules.pop(arguments[1], None)  # It is the main module now, not one that was imported before.
    code = 0
    try:
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - As an interpreter does.
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def stand_in(path: str, arguments: list[str]) -> int:
    """Have the server start the program, and end as it does."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    body = json.dumps({"argv": arguments, "env": dict(os.environ), "cwd": os.getcwd()}).encode()  # noqa: PTH109
    descriptors = array.array("i", [0, 1, 2])
    connection.sendmsg([f"{len(body):{HEADER}}".encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
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
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        sys.exit(stand_in(sys.argv[1], sys.argv[2:]))
