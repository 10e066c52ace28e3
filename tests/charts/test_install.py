"""The chart's life on a real API server: installed, upgraded, uninstalled, with the rights that it gives."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from finetune_sandbox.binaries import binary
from finetune_sandbox.control_plane import ControlPlane, Options

CHART = Path(__file__).parents[2] / "charts" / "finetune-operator"
CRD = "finetunejobs.finetune.dev"
OPERATOR = "system:serviceaccount:finetune-system:ft-finetune-operator"
Right = tuple[str, str, str]
MAY = (
    ("list", "finetunejobs.finetune.dev", ""),
    ("watch", "finetunejobs.finetune.dev", ""),
    ("patch", "finetunejobs.finetune.dev", "status"),
    ("get", "pods", ""),
    ("create", "pods", ""),
    ("delete", "pods", ""),
    ("get", "configmaps", ""),
    ("create", "configmaps", ""),
    ("create", "services", ""),
    ("create", "events", ""),
)
MAY_NOT = (
    ("get", "finetunejobs.finetune.dev", ""),
    ("get", "finetunejobs.finetune.dev", "status"),
    ("patch", "finetunejobs.finetune.dev", ""),
    ("update", "finetunejobs.finetune.dev", ""),
    ("delete", "finetunejobs.finetune.dev", ""),
    ("update", "finetunejobs.finetune.dev", "status"),
    ("patch", "events", ""),
    ("get", "secrets", ""),
    ("list", "secrets", ""),
    ("list", "configmaps", ""),
    ("get", "nodes", ""),
    ("list", "namespaces", ""),
    ("patch", "pods", ""),
    ("create", "pods", "exec"),
    ("get", "pods", "proxy"),
    ("get", "customresourcedefinitions.apiextensions.k8s.io", ""),
    ("update", "leases.coordination.k8s.io", ""),
)

pytestmark = pytest.mark.control_plane


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("chart"), Options(workloads=False)) as cluster:
        yield cluster


@pytest.fixture
def released(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster on which the chart was installed."""
    helm(cluster, "install", "ft", str(CHART), "--namespace", "finetune-system", "--create-namespace")
    yield cluster
    helm(cluster, "uninstall", "ft", "--namespace", "finetune-system", "--ignore-not-found", "--wait")


def helm(cluster: ControlPlane, *arguments: str) -> str:
    done = subprocess.run(
        (binary("helm"), "--kubeconfig", cluster.kubeconfig, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def granted(cluster: ControlPlane, *asked: Right, namespace: str = "default") -> list[Right]:
    """Which of these the operator may, in a namespace of a user's."""
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": OPERATOR,
                "resourceAttributes": {
                    "namespace": namespace,
                    "verb": verb,
                    "resource": resource.partition(".")[0],
                    "group": resource.partition(".")[2],
                    "subresource": part,
                },
            },
        }
        for verb, resource, part in asked
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    said = cluster.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed} ", stdin=listed)
    return [each for each, word in zip(asked, said.split(), strict=True) if word == "true"]


def test_the_operator_may_what_it_needs_and_nothing_more(released: ControlPlane) -> None:
    assert granted(released, *MAY, *MAY_NOT) == list(MAY)


def test_an_upgrade_brings_the_definition_up_to_date(released: ControlPlane) -> None:
    released.kubectl("patch", "crd", CRD, "--type=json", "-p", json.dumps(WITHOUT_SHORT_NAME))
    helm(released, "upgrade", "ft", str(CHART), "--namespace", "finetune-system", "--force-conflicts")
    assert released.kubectl("get", "crd", CRD, "-o", "jsonpath={.spec.names.shortNames}") == '["ftj"]'


WITHOUT_SHORT_NAME = [{"op": "replace", "path": "/spec/names/shortNames", "value": ["old"]}]


def test_jobs_survive_an_uninstallation_and_are_there_when_it_is_installed_again(released: ControlPlane) -> None:
    released.apply(JOB)
    helm(released, "uninstall", "ft", "--namespace", "finetune-system", "--wait")
    helm(released, "install", "ft", str(CHART), "--namespace", "finetune-system")
    found = released.kubectl("get", "finetunejobs", "--namespace", "default", "-o", "name")
    assert found.split() == ["finetunejob.finetune.dev/kept"]


JOB = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {
        "task": "text-classification",
        "model": {"uri": "hf://owner/model"},
        "dataset": {"uri": "hf://owner/data", "columns": {"text": ["sentence"], "label": "label"}},
        "training": {"max_steps": 1},
        "wandb": {"project": "p", "secretRef": {"name": "wandb"}},
    },
}


def test_with_a_namespace_the_rights_end_there(cluster: ControlPlane) -> None:
    cluster.namespace("team-a")
    wishes = ("--set", "watchNamespace=team-a", "--set", "metrics.service.enabled=false")
    helm(cluster, "install", "ft", str(CHART), "--namespace", "finetune-system", "--create-namespace", *wishes)
    there = granted(cluster, *MAY, namespace="team-a")
    elsewhere = granted(cluster, *MAY)
    helm(cluster, "uninstall", "ft", "--namespace", "finetune-system", "--wait")
    assert (there, elsewhere) == (list(MAY), [])


@pytest.mark.parametrize("wish", ["replicas=1", "networkPolicy.enabled=true", "rbac.aggregateRoles=false"])
def test_the_api_server_accepts_what_is_rendered(cluster: ControlPlane, wish: str) -> None:
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=rendered(cluster, wish))


def rendered(cluster: ControlPlane, wish: str) -> str:
    return helm(cluster, "template", "ft", str(CHART), "--namespace", "default", "--set", wish)
