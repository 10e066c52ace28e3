from pathlib import Path

import pytest
from finetune_sandbox.node.images import DOCKERFILES, STORES, forget_superseded


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout, as far as images are made of it."""
    for name in ("locks/trainer.txt", *DOCKERFILES.values()):
        file = tmp_path / "checkout" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path / "checkout"


@pytest.fixture
def stores(tmp_path: Path, root: Path) -> Path:
    """The stores after a build."""
    folder = tmp_path / "node"
    folder.mkdir()
    forget_superseded(folder, root)
    for store in STORES:
        (folder / store).mkdir()
        (folder / store / "layer").touch()
    return folder


def layers(stores: Path) -> list[Path]:
    return sorted(stores.glob("*/layer"))


def test_changed_code_leaves_the_layers_of_the_same_locks(stores: Path, root: Path) -> None:
    (root / "operator" / "more.py").touch()
    forget_superseded(stores, root)
    assert len(layers(stores)) == len(STORES)


@pytest.mark.parametrize("changed", ["locks/trainer.txt", *DOCKERFILES.values()])
def test_layers_of_other_locks_are_removed_before_they_fill_the_disk(stores: Path, root: Path, changed: str) -> None:
    (root / changed).write_text("other")
    forget_superseded(stores, root)
    assert not layers(stores)
