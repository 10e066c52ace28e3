"""A job as the API server holds it, read into the models."""

import pytest
from finetune_operator.api.status import Phase
from finetune_operator.cluster.observe import Unreadable, parsed
from finetune_operator.cluster.port import Manifest

from tests.operator.cluster.worlds import job


def stored(**status: object) -> Manifest:
    manifest = job()
    manifest["metadata"] |= {"uid": "u", "generation": 1}
    return manifest | {"status": status}


def test_a_status_of_a_newer_operator_speaks_against_no_job() -> None:
    status = parsed(stored(phase="Running", attempt=3, newField=1, conditions=[{"type": "Admitted"}])).status
    assert (status.phase, status.attempt, status.conditions) == (Phase.RUNNING, 3, ())


def test_an_unknown_field_of_the_spec_is_the_authors_mistake() -> None:
    manifest = stored()
    manifest["spec"] |= {"modle": {}}
    with pytest.raises(Unreadable, match=r"spec\.modle"):
        parsed(manifest)
