"""`finetune validate` says of every job in the table what the API server says."""

from typing import Any

import pytest
from finetune_cli.admission import admission

from tests.operator.api.cases import base, merged, table


@pytest.mark.parametrize("case", table("jobs.yaml"))
def test_a_job_is_answered_offline_as_by_the_server(case: dict[str, Any]) -> None:
    said = "\n".join(map(str, admission(merged(base(), case["change"]))))
    expected = case.get("answer") or case["unsupported"]
    assert said == "" if expected == "accepted" else expected in said
    assert case.get("at", "") in said
