"""Every name that leaves the process: group, labels, ports, and the names of what belongs to a job."""

GROUP = "finetune.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "FineTuneJob"
PLURAL = "finetunejobs"
SINGULAR = "finetunejob"
SHORT_NAME = "ftj"

LABEL_JOB = f"{GROUP}/job"
LABEL_JOB_UID = f"{GROUP}/job-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_NODE_RANK = f"{GROUP}/node-rank"
ANNOTATION_GIT_REF = f"{GROUP}/git-ref"
"""Put on a job by its author, or by what deploys it: the commit that it comes from."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "finetune-operator"

CONTAINER = "trainer"
MAX_JOB_NAME = 48
"""Pod and host names are made from the job's name and have room for 63 characters."""


def pod_name(job: str, attempt: int, node_rank: int) -> str:
    """The pod of one node in one attempt; the same for every pass, so creation is idempotent."""
    return f"{job}-{attempt}-{node_rank}"


def service_name(job: str) -> str:
    """The headless Service under which a gang meets."""
    return job


def config_map_name(job: str, generation: int) -> str:
    """The immutable ConfigMap with run.json of one generation."""
    return f"{job}-{generation}"


def run_id(job_uid: str) -> str:
    """The W&B run of a job: the same over all attempts, another for a job created anew."""
    return job_uid.replace("-", "")
