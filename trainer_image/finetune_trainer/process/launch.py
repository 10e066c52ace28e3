"""How the ranks of one node are started: one python, or torchrun, and the environment they need. Stdlib only."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune_trainer.contract.environment import RENDEZVOUS_PORT
from finetune_trainer.contract.program import ProgramRun
from finetune_trainer.contract.run_config import CommonRun
from finetune_trainer.pod.ports import free_port
from finetune_trainer.pod.surroundings import Surroundings

RANK_MODULE = "finetune_trainer.process.rank"
GATHERING_SECONDS = 24 * 3600
"""How long torchrun waits for the gang's other pods, which may wait for room; its own default is 15 minutes."""
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})


def rank_command(config: CommonRun, config_path: Path, here: Surroundings, python: Sequence[str]) -> list[str]:
    """The command of a node's ranks, for a Python interpreter."""
    compute = config.compute
    if isinstance(config, ProgramRun) or compute.nodes * compute.processes_per_node == 1:
        return [*python, "-m", RANK_MODULE, str(config_path)]
    host, port = meeting_point(here)
    return [
        *(*python, "-m", "torch.distributed.run"),
        *("--nnodes", str(compute.nodes), "--nproc-per-node", str(compute.processes_per_node)),
        *("--node-rank", str(here.node_rank), "--rdzv-backend", "static"),
        *("--rdzv-conf", f"timeout={GATHERING_SECONDS}"),
        *("--master-addr", host, "--master-port", str(port)),
        *("--max-restarts", "0", "--shutdown-timeout", str(config.grace_period_seconds)),
        *("-m", RANK_MODULE, str(config_path)),
    ]


def ranks_of_a_node(config: CommonRun) -> int:
    """How many ranks leave a word: one for a program, whatever processes that starts."""
    return 1 if isinstance(config, ProgramRun) else config.compute.processes_per_node


def meeting_point(here: Surroundings) -> tuple[str, int]:
    """Where the ranks meet: at rank 0's pod, or on this machine alone."""
    if here.rendezvous is None:
        return "127.0.0.1", free_port()
    host, _, port = here.rendezvous.partition(":")
    return host, int(port or RENDEZVOUS_PORT)


def rank_environment(config: CommonRun, here: Surroundings, env: Mapping[str, str]) -> dict[str, str]:
    """The variables that make a rank's arithmetic repeatable and keep its files in the work directory."""
    work = here.work_dir
    threads = str(config.compute.threads_per_process)
    pinned = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    places = {
        "HOME": str(work / "home"),
        "HF_HOME": str(work / "huggingface"),
        "WANDB_DIR": str(work),
        "WANDB_CACHE_DIR": str(work / "wandb-cache"),
        "WANDB_DATA_DIR": str(work / "wandb-data"),
        "WANDB_CONFIG_DIR": str(work / "wandb-config"),
        "WANDB_ARTIFACT_DIR": str(work / "wandb-artifacts"),
        "TRITON_CACHE_DIR": str(work / "triton"),
    }
    fixed = {
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": env.get("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "2"),
    }
    kept = {name: env[name] for name in places if name.startswith("HF_") and name in env}
    for place in places.values():
        Path(place).mkdir(parents=True, exist_ok=True)
    return {**pinned, **places, **fixed, **kept, **without_wandb(env), **hub(config)}


def without_wandb(env: Mapping[str, str]) -> dict[str, str]:
    """WANDB_DISABLED, which today's SDK ignores, in the word that it knows."""
    disabled = env.get("WANDB_DISABLED", "").lower() in TRUE_WORDS
    return {"WANDB_MODE": "disabled"} if disabled else {}


def hub(config: CommonRun) -> dict[str, str]:
    """The address of the Hub's mirror."""
    return {} if config.hub.endpoint is None else {"HF_ENDPOINT": config.hub.endpoint}
