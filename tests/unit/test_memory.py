from __future__ import annotations

from pathlib import Path

import pytest

from medbundles.io import memory


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container that may use 1000 bytes and uses 600, of which 100 are a file cache."""
    (tmp_path / "memory.max").write_text("1000\n", encoding="ascii")
    (tmp_path / "memory.current").write_text("600\n", encoding="ascii")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 100\n", encoding="ascii")
    monkeypatch.setattr(memory, "CONTAINERS", (("memory.max", "memory.current", "inactive_file", tmp_path),))
    return tmp_path


def test_the_machine_has_some_memory() -> None:
    available = memory.available_memory_bytes()

    assert available is None or available > 1 << 20


def test_a_container_gives_what_its_limit_leaves_and_its_file_cache(container: Path) -> None:
    assert memory.available_memory_bytes() == 500


def test_a_container_without_a_limit_gives_what_the_machine_has(container: Path) -> None:
    (container / "memory.max").write_text("max\n", encoding="ascii")

    available = memory.available_memory_bytes()
    assert available is None or available > 1 << 20


def test_other_systems_are_asked_in_their_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path / "absent")
    monkeypatch.setattr(memory, "CONTAINERS", ())

    available = memory.available_memory_bytes()
    assert available is None or available > 1 << 20
