"""Starts Python programs from a process that has imported what they need already: a second instead of ten.

Run as `forkserver.py SOCKET ranks` or `forkserver.py SOCKET supervisors`. A program is asked for by `stand_in.py`,
which passes signals on and ends as the program ends; the program's process is a child of the server.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER = 8
"""Bytes that say how long a request is."""
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


def prepare_ranks() -> None:
    """Import what a rank imports sooner or later."""
    import transformers
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    for name in SLOW:
        importlib.import_module(name)
    for name in CLASSES:
        getattr(transformers, name)  # Is imported when it is first named.
    get_checkpoint_conversion_mapping("bert")  # Compiles the patterns of all models, and keeps them.


def prepare_supervisors() -> None:
    """Import what a supervisor imports, which is no torch."""
    importlib.import_module("tests.trainer.supervise")


PREPARATIONS = {"ranks": prepare_ranks, "supervisors": prepare_supervisors}


@dataclass(slots=True)
class Forkserver:
    """Forks for every request until the socket's file is gone."""

    path: Path
    listener: socket.socket
    alarm: socket.socket
    """Readable when a child has ended."""
    children: dict[int, socket.socket] = field(default_factory=dict)
    left_alone: set[int] = field(default_factory=set)
    """Children whose stand-ins were killed."""

    def run(self) -> None:
        """Serve."""
        while self.path.exists():
            watched = {self.children[pid]: pid for pid in self.children.keys() - self.left_alone}
            ready, _, _ = select.select([self.listener, self.alarm, *watched], [], [], 1)
            for one in ready:
                if one is self.listener:
                    self._fork(one.accept()[0])
                elif one is self.alarm:
                    one.recv(4096)
                else:  # Its stand-in says nothing more, so it is gone.
                    self.left_alone.add(watched[one])
                    os.killpg(watched[one], signal.SIGKILL)
            self._reap()

    def _fork(self, connection: socket.socket) -> None:
        request, descriptors = asked(connection)
        if (pid := os.fork()) == 0:
            self.listener.close()
            become(connection, request, descriptors)
        with contextlib.suppress(OSError):  # It does so, too; whoever comes first.
            os.setpgid(pid, pid)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children[pid] = connection

    def _reap(self) -> None:
        """Tell the stand-ins of ended programs how they ended."""
        for pid in tuple(self.children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                connection = self.children.pop(pid)
                self.left_alone.discard(pid)
                with contextlib.suppress(OSError):  # The stand-in may have been killed.
                    connection.sendall(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
                connection.close()


def serve(path: Path, kind: str) -> None:
    """Import what is slow, then fork for every request."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    PREPARATIONS[kind]()
    alarm, bell = socket.socketpair()
    bell.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell.fileno())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(64)
    Path(f"{path}.new").rename(path)
    gc.collect()
    gc.freeze()  # What is here now is never looked through again, so its pages stay shared.
    # A tenth of a rank's time went into looking for garbage, and it lives for seconds.
    gc.set_threshold(20_000, 20, 20)
    Forkserver(path, listener, alarm).run()


def asked(connection: socket.socket) -> tuple[dict[str, Any], tuple[int, ...]]:
    """What a stand-in wants, and its standard streams."""
    descriptors = array.array("i")
    length, ancillary, _, _ = connection.recvmsg(HEADER, socket.CMSG_SPACE(3 * descriptors.itemsize))
    descriptors.frombytes(ancillary[0][2])
    size, content = int(length), b""
    while len(content) < size:
        content += connection.recv(size - len(content))
    return json.loads(content), tuple(descriptors)


def become(connection: socket.socket, request: dict[str, Any], descriptors: tuple[int, ...]) -> None:
    """Be the program that was asked for, in this forked process."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    connection.sendall(json.dumps({"pid": os.getpid()}).encode() + b"\n")
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


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
    os._exit(0)  # An interpreter with torch takes seconds to take leave.
