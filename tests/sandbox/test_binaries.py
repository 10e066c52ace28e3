import os
from pathlib import Path

import pytest
from finetune_sandbox import binaries


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


@pytest.fixture(autouse=True)
def forgotten() -> None:
    binaries._built.cache_clear()


def test_the_folder_of_envtest_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = program(tmp_path, "etcd")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert binaries.binary("etcd") == there


def test_a_built_program_is_found_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built = program(binaries.cache_root() / binaries.SOURCES["etcd"].digest(), "etcd")
    assert binaries.binary("etcd") == built


def test_without_go_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(binaries.BinaryUnavailable, match="Install Go"):
        binaries.binary("etcd")


def test_a_build_removes_what_nobody_has_used_for_a_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    go = program(tmp_path, "go")
    go.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho built > "$2"\n')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    root = binaries.cache_root()
    old, other, lately = program(root / "old", "etcd"), program(root / "old", "kwok"), program(root / "lately", "etcd")
    for each in (old, other):
        os.utime(each, (0, 0))

    built = binaries.binary("etcd")

    assert (built.read_text(), old.exists(), other.exists(), lately.exists()) == ("built\n", False, True, True)


def test_machines_of_two_kinds_that_share_a_home_have_programs_of_their_own() -> None:
    etcd = binaries.SOURCES["etcd"]

    assert etcd.digest("x86_64") != etcd.digest("aarch64")


def test_programs_of_one_family_differ_by_nothing_but_their_package() -> None:
    assert binaries.SOURCES["kubectl"].digest() == binaries.SOURCES["kubelet"].digest()


def test_families_have_folders_of_their_own() -> None:
    assert len({each.digest() for each in binaries.SOURCES.values()}) == len(
        {each.family for each in binaries.SOURCES.values()}
    )
