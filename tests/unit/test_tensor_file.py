from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from medbundles.components.tensor_file import load_state, read_tensor_file, write_tensor_file
from medbundles.errors import ConfigurationError, DataError, UntrustedContent


class Malice:
    def __reduce__(self) -> Any:
        return os.mkdir, ("owned",)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "last.pt"
    write_tensor_file(path, {"weights": torch.arange(5000.0)})
    return path


def test_numpy_scalars_and_tensor_subclasses_come_back_plain(tmp_path: Path) -> None:
    write_tensor_file(tmp_path / "a.pt", {"score": np.float64(0.5), "image": MetaTensor(torch.ones(2))})
    content = read_tensor_file(tmp_path / "a.pt")
    assert (type(content["score"]), type(content["image"])) == (float, torch.Tensor)


def test_a_state_dictionary_keeps_the_versions_of_its_layers(tmp_path: Path) -> None:
    state = nn.BatchNorm2d(3).state_dict()
    write_tensor_file(tmp_path / "a.pt", {"state": state})
    restored = read_tensor_file(tmp_path / "a.pt")["state"]
    assert isinstance(restored, OrderedDict)
    assert restored._metadata == state._metadata  # type: ignore[attr-defined]


def test_one_changed_byte_is_noticed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"TRN007.*wrong checksum"):
        read_tensor_file(file)


@pytest.mark.parametrize("length", [0, 1, 100, 10000])
def test_a_file_cut_short_is_damaged(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DataError, match="TRN007"):
        read_tensor_file(file)


def test_bytes_of_anything_are_damaged(file: Path) -> None:
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match="TRN007"):
        read_tensor_file(file)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_is_not_run(file: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    file.write_bytes(pickle.dumps(Malice(), protocol))
    with pytest.raises(UntrustedContent, match="TRU002"):
        read_tensor_file(file)
    assert not Path("owned").exists()


def test_a_file_of_torch_with_an_object_in_it_is_not_run(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    torch.save({"model": Malice()}, file)
    with pytest.raises(UntrustedContent, match="TRU002"):
        read_tensor_file(file)
    assert not Path("owned").exists()


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"state\.a\[1\] is a Malice"):
        write_tensor_file(tmp_path / "a.pt", {"a": [1, Malice()]})
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_refused_by_their_keys() -> None:
    with pytest.raises(ConfigurationError, match=r"TRN007.*model\.pt.*2 differences.*bias: missing.*scale: not in"):
        load_state(nn.Linear(2, 2), {"weight": torch.ones(2, 2), "scale": torch.ones(1)}, "model.pt")
