"""`finetune validate --deep`, as a user types it."""

from pathlib import Path

import pytest
import yaml
from finetune_cli.main import main

from tests.operator.api.cases import base, merged
from tests.trainer import tiny

pytestmark = pytest.mark.training

CODE = """
import os, pathlib
Mine = print
pathlib.Path(__file__).with_name("fetched").write_text(os.environ["FINETUNE_WORK_DIR"])
"""


def test_a_column_that_is_not_in_the_data_is_found_before_the_job_is_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    tiny.bert(tmp_path / "model")
    tiny.csv_file(tmp_path / "data" / "train.csv")
    columns = {"text": ["text"], "label": "lable"}
    spec = {
        "model": {"uri": "file:///models"},
        "dataset": {"uri": "file:///data/train.csv", "config": None, "columns": columns},
        "training": {"eval_strategy": "no"},
        "extensions": {"pythonPath": ["/code"], "callbacks": [{"use": "mine:Mine"}]},
    }
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(merged(base(), {"spec": spec})))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text(CODE)
    folders = {"/data": "data", "/models": "model", "/code": "code"}
    mounts = [f"--mount={path}={tmp_path / folder}" for path, folder in folders.items()]
    capsys.readouterr()  # What libraries print while the model is made.
    shallow = main(["validate", str(file)])
    deep = main(["validate", "--deep", *mounts, str(file)])
    _, said, *more = capsys.readouterr().out.splitlines()

    assert (shallow, deep, more) == (0, 1, [])
    assert said.startswith(f"{file}: base: ColumnNotFound: file:///data/train.csv ")
    assert said.endswith("Correct dataset.columns.")
    fetched = Path((tmp_path / "code" / "fetched").read_text())
    assert not fetched.exists(), "what the trainer fetches goes when it has looked"
