"""A real API server answers every job and edit of the table as the table says."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finetune_sandbox.control_plane import ControlPlane, ControlPlaneError
from finetune_trainer.contract.refused_arguments import OWNED, REFUSED, REMOVED

from tests.operator.api.cases import base, merged, table

pytestmark = pytest.mark.control_plane

CHECKPOINT = {"step": 100, "digest": "d", "sizeBytes": 1, "committedAt": "2026-01-01T00:00:00Z"}
NAMESPACE = "admission"
JOBS = f"/apis/finetune.dev/v1alpha1/namespaces/{NAMESPACE}/finetunejobs"
DRY = "?dryRun=All&fieldValidation=Strict"
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def api_server(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The API server, with a namespace for all jobs of this module."""
    control_plane.namespace(NAMESPACE)
    yield control_plane
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def answer(plane: ControlPlane, method: str, path: str, body: dict[str, Any]) -> str:
    """`accepted`, or the words in which a request about jobs is refused."""
    try:
        plane.ask(method, JOBS + path, body)
    except ControlPlaneError as refusal:
        return str(refusal)
    return "accepted"


@pytest.fixture
def edited(api_server: ControlPlane, case: dict[str, Any]) -> str:
    """The name of the base job on the server, with the status that the case gives, else a checkpoint."""
    name = f"edited-{next(NUMBERS)}"
    status = case.get("status", {"phase": "Running", "checkpoint": CHECKPOINT})
    answer(api_server, "POST", "", merged(base(), {"metadata": {"name": name}}))
    answer(api_server, "PATCH", f"/{name}/status", {"status": status})
    return name


def applied(plane: ControlPlane, job: dict[str, Any]) -> str:
    """What kubectl says when the job is applied."""
    try:
        plane.kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=json.dumps(job))
    except ControlPlaneError as refusal:
        return str(refusal)
    return "accepted"


@pytest.mark.parametrize("case", table("jobs.yaml"))
def test_a_job_is_answered(api_server: ControlPlane, case: dict[str, Any]) -> None:
    said = answer(api_server, "POST", DRY, merged(base(), case["change"]))
    assert case.get("answer", "accepted") in said
    assert case.get("at", "") in said or "unsupported" in case


@pytest.mark.parametrize("case", table("edits.yaml"))
def test_an_edit_is_answered(api_server: ControlPlane, edited: str, case: dict[str, Any]) -> None:
    assert case["answer"] in answer(api_server, "PATCH", f"/{edited}{DRY}", case["change"])


def test_every_refused_argument_is_answered_with_its_sentence(api_server: ControlPlane) -> None:
    values = {"string": "x", "boolean": True, "integer": 1, "number": 0.5, "array": ["x"], "object": {"x": 1}}
    training = {name: values[kind] for name, (kind, _) in {**OWNED, **REMOVED}.items()}
    said = applied(api_server, merged(base(), {"spec": {"training": training}}))
    missing = [name for name, sentence in REFUSED.items() if f"spec.training.{name}: Forbidden: {sentence}" not in said]
    assert missing == []


def test_explain_finds_a_field_by_its_short_name(api_server: ControlPlane) -> None:
    said = api_server.kubectl("explain", "ftj.spec.training.learning_rate")
    assert "The highest learning rate, reached after warm-up. The default is 5e-05." in " ".join(said.split())


def test_jobs_are_listed_with_the_promised_columns(api_server: ControlPlane) -> None:
    applied(api_server, merged(base(), {"metadata": {"name": "listed"}}))
    head, *_ = api_server.kubectl("-n", NAMESPACE, "get", "ftj").splitlines()
    assert head.split() == ["NAME", "PHASE", "REASON", "STEP", "PROGRESS", "CHECKPOINT", "RESTARTS", "AGE"]


def test_a_job_applied_twice_does_not_differ(api_server: ControlPlane, tmp_path: Path) -> None:
    job = merged(base(), {"metadata": {"name": "same"}})
    applied(api_server, job)
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job))
    assert api_server.kubectl("-n", NAMESPACE, "diff", "-f", str(file)) == ""
