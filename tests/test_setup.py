"""`make setup`, with a Python that only says how it was called."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WELL = "#!/bin/sh\nexit 0\n"
BROKEN = "#!/bin/sh\nexit 1\n"
MAKER = """#!/bin/sh
echo "$@" >> called
printf '#!/bin/sh' > .venv/bin/python
"""


def set_up(folder: Path, *, maker: str, made: str) -> str:
    """What make says in a folder with a .venv that was begun, or made."""
    shutil.copy(ROOT / "Makefile", folder)
    for name, content in {".venv/bin/python": made, ".venv/bin/uv": WELL, "maker": maker}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)
    for name in ("locks/dev.txt", "pyproject.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    command = ("make", "-C", folder, "setup", "PYTHON=./maker")
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(("made", "calls"), [(BROKEN, ["-m venv --clear .venv"]), (WELL, [])])
def test_an_environment_that_cannot_be_used_is_made_anew(tmp_path: Path, made: str, calls: list[str]) -> None:
    set_up(tmp_path, maker=MAKER, made=made)
    called = tmp_path / "called"
    assert (called.read_text().splitlines()[1:] if called.exists() else []) == calls
    assert (tmp_path / ".venv" / ".ready").exists()


def test_a_python_that_makes_no_environment_is_answered_with_the_package_that_is_missing(tmp_path: Path) -> None:
    assert "apt install python3-venv" in set_up(tmp_path, maker=BROKEN, made=BROKEN)
