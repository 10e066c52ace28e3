"""The variables of a trainer's container.

Ours come before the author's, the author's before the installation's, the spec comes before the Secret, and what opens
W&B is on rank 0 alone.
"""

from finetune_trainer.contract import environment as contract

from finetune_operator import names
from finetune_operator.api.v1alpha1 import FineTuneJob, SecretKeyReference
from finetune_operator.build.attempt import Attempt, token
from finetune_operator.build.config_map import run_config
from finetune_operator.build.manifest import Manifest
from finetune_operator.config import Config

_WANDB_VARIABLES = {
    "WANDB_PROJECT": "project",
    "WANDB_ENTITY": "entity",
    "WANDB_NAME": "name",
    "WANDB_RUN_GROUP": "group",
    "WANDB_JOB_TYPE": "job_type",
    "WANDB_TAGS": "tags",
    "WANDB_NOTES": "notes",
    "WANDB_BASE_URL": "base_url",
    "WANDB_MODE": "mode",
    "WANDB_LOG_MODEL": "log_model",
    "WANDB_WATCH": "watch",
}
"""What the spec says about W&B, by the name under which the SDK and transformers know it."""

_NEVER_THE_AUTHORS = {"WANDB_RUN_ID", "WANDB_RESUME"}
"""Which run it is, and whether it is resumed, depends on the attempt and on the checkpoint found."""

_API_KEY = "WANDB_API_KEY"


def image(job: FineTuneJob, config: Config) -> str:
    """The trainer's image."""
    return job.spec.image or config.trainer_image


def environment(job: FineTuneJob, config: Config, attempt: Attempt, node_rank: int) -> list[Manifest]:
    """All variables, each name once."""
    ours = _attempt(job, config, attempt, node_rank) | _places() | _hub(job, config)
    if node_rank == 0:
        ours |= _wandb(job, config)
    theirs = {
        str(variable.get("name")): variable
        for variable in job.spec.pod_template.env
        if _may_be_the_authors(str(variable.get("name")), node_rank)
    }
    secret = _wandb_extra(job) if node_rank == 0 else {}
    house = _plain({name: value for name, value in config.trainer_env if _may_be_the_authors(name, node_rank)})
    return list((house | secret | theirs | ours).values())


def _may_be_the_authors(name: str, node_rank: int) -> bool:
    is_ours = name in _NEVER_THE_AUTHORS or name.startswith("FINETUNE_")
    return not is_ours and (node_rank == 0 or name != _API_KEY)


def _attempt(job: FineTuneJob, config: Config, attempt: Attempt, node_rank: int) -> dict[str, Manifest]:
    meta = job.metadata
    values = {
        contract.ATTEMPT: str(attempt.number),
        contract.TOKEN: token(meta.uid, attempt.number),
        contract.NODE_RANK: str(node_rank),
        contract.WORK_DIR: contract.DEFAULT_WORK_DIR,
        contract.TERMINATION_LOG: contract.DEFAULT_TERMINATION_LOG,
        contract.PROGRESS_PORT: str(contract.DEFAULT_PROGRESS_PORT),
        contract.IMAGE: image(job, config),
        contract.GIT_REF: meta.annotations.get(names.ANNOTATION_GIT_REF),
        contract.MIN_STEP: None if attempt.min_step is None else str(attempt.min_step),
        contract.MIN_DIGEST: attempt.min_digest,
        contract.RENDEZVOUS: _rendezvous(job, attempt) if job.spec.compute.nodes > 1 else None,
        contract.CHECKPOINT_DIR: contract.DEFAULT_CHECKPOINT_DIR if job.spec.checkpoint.volume else None,
        contract.OUTPUT_DIR: contract.DEFAULT_OUTPUT_DIR if job.spec.output.volume else None,
    }
    address = {"name": contract.POD_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return _plain(values) | {contract.POD_IP: address}


def _rendezvous(job: FineTuneJob, attempt: Attempt) -> str:
    name = job.metadata.name
    return f"{names.pod_name(name, attempt.number, 0)}.{names.service_name(name)}:{contract.RENDEZVOUS_PORT}"


def _places() -> dict[str, Manifest]:
    """Everything that wants to write, writes below the work directory: the root file system is read-only."""
    work = contract.DEFAULT_WORK_DIR
    return _plain(
        {
            "HOME": f"{work}/home",
            "XDG_CACHE_HOME": f"{work}/cache",
            "HF_HOME": f"{work}/cache/huggingface",
            "TORCHINDUCTOR_CACHE_DIR": f"{work}/cache/inductor",
            "TRITON_CACHE_DIR": f"{work}/cache/triton",
            "WANDB_DIR": f"{work}/wandb",
            "WANDB_CACHE_DIR": f"{work}/cache/wandb",
            "WANDB_CONFIG_DIR": f"{work}/home/.config/wandb",
            "WANDB_DATA_DIR": f"{work}/wandb",
        }
    )


def _hub(job: FineTuneJob, config: Config) -> dict[str, Manifest]:
    hub = job.spec.hub
    endpoint = _plain({"HF_ENDPOINT": hub.endpoint or config.hub_endpoint})
    return endpoint | ({"HF_TOKEN": _from_secret("HF_TOKEN", hub.secret_ref)} if hub.secret_ref else {})


def _wandb(job: FineTuneJob, config: Config) -> dict[str, Manifest]:
    settings = run_config(job, config).wandb
    said = {name: getattr(settings, field) for name, field in _WANDB_VARIABLES.items()}
    values = {
        name: ",".join(value) if isinstance(value, tuple) else value and str(value) for name, value in said.items()
    }
    secret = job.spec.wandb.secret_ref
    key = {_API_KEY: _from_secret(_API_KEY, secret)} if secret else {}
    return _plain(values | {"WANDB_RUN_ID": names.run_id(job.metadata.uid)}) | key


def _wandb_extra(job: FineTuneJob) -> dict[str, Manifest]:
    secret = job.spec.wandb.secret_ref
    keys = secret.extra_keys if secret else ()
    return {
        key: _from_secret(key, SecretKeyReference(name=secret.name, key=key))
        for key in keys
        if secret and key.startswith("WANDB_") and key not in _NEVER_THE_AUTHORS
    }


def _from_secret(name: str, reference: SecretKeyReference) -> Manifest:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": reference.name, "key": reference.key}}}


def _plain(values: dict[str, str | None]) -> dict[str, Manifest]:
    return {name: {"name": name, "value": value} for name, value in values.items() if value}
