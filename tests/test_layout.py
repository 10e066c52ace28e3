"""The shape of the house: traps that a tidy-minded change could spring."""

import operator
import subprocess
import sys
import sysconfig
from pathlib import Path

import finetune_operator
import finetune_trainer

ROOT = Path(__file__).parent.parent
TOP_LEVEL = (
    *("pyproject.toml", "operator", "trainer_image", "charts", "crds", "tests", "README.md"),
    *("cli", "sandbox", "examples", "bench", "docs"),
    *("Makefile", "AGENTS.md", "CHANGELOG.md", "LICENSE", ".ci/run"),
)


def test_the_folder_named_operator_is_no_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_the_standard_librarys_operator_wins_from_the_repository_root() -> None:
    program = "import operator, random; print(operator.__file__)"
    seen = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert Path(seen.strip()).is_relative_to(sysconfig.get_path("stdlib"))


def test_under_pytest_the_standard_librarys_operator_wins() -> None:
    assert operator.__file__ is not None
    assert Path(operator.__file__).is_relative_to(sysconfig.get_path("stdlib"))


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {p.parent for p in (ROOT / "tests").rglob("*.py")}
    assert [f for f in folders if not (f / "__init__.py").exists()] == []


def test_the_packages_come_from_their_rooms() -> None:
    assert finetune_operator.__file__ == str(ROOT / "operator/finetune_operator/__init__.py")
    assert finetune_trainer.__file__ == str(ROOT / "trainer_image/finetune_trainer/__init__.py")


def test_the_top_level_holds_what_the_readme_promises() -> None:
    assert [name for name in TOP_LEVEL if not (ROOT / name).exists()] == []
