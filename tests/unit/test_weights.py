"""Loading weights into a network: what is read and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medbundles.components.networks.weights import load_weights, read_weights
from medbundles.errors import ConfigurationError, DataError, UntrustedContent
from medbundles.formats import write_safetensors


def network(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


class Foreign:
    """A class of ours in a file: reading it would have to import and call this."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_safetensors_and_torch_files_hold_the_same_weights(tmp_path: Path) -> None:
    save_file(network(1).state_dict(), tmp_path / "model.safetensors")
    torch.save(network(1).state_dict(), tmp_path / "model.pt")
    for name in ("model.safetensors", "model.pt"):
        loaded = network(2)
        load_weights(loaded, tmp_path / name)
        assert torch.equal(loaded.weight, network(1).weight)


def test_safetensors_that_we_write_may_be_read_by_whoever_may_read_the_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_safetensors(tmp_path / "model.safetensors", network().state_dict())
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_weights_saved_from_a_wrapped_network_lose_the_wrappers_name(tmp_path: Path) -> None:
    torch.save(nn.DataParallel(network()).state_dict(), tmp_path / "model.pt")
    assert read_weights(tmp_path / "model.pt").keys() == {"weight", "bias"}


def test_a_pickle_that_would_run_code_is_refused_unread(tmp_path: Path) -> None:
    torch.save({"model": Foreign()}, tmp_path / "model.pt")
    with pytest.raises(UntrustedContent, match=r"TRU002.*model\.pt"):
        load_weights(network(), tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="TRN011"):
        load_weights(network(), tmp_path / name)


@pytest.mark.parametrize("name", ["last.pt", "last.safetensors"])
def test_a_damaged_file_is_refused_and_a_good_one_beside_it_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "junk.pt").write_text("not a checkpoint either")
    torch.save(network().state_dict(), tmp_path / "best.pt")
    save = save_file if name.endswith("safetensors") else torch.save
    save(network().state_dict(), tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"TRN007.*{name}: damaged.*best\.pt beside it is good"):
        load_weights(network(), tmp_path / name)


def test_of_good_files_beside_a_damaged_one_that_of_the_latest_epoch_is_named(tmp_path: Path) -> None:
    for epoch in (10, 9):  # the last to be written is not the latest
        torch.save(network().state_dict(), tmp_path / f"model_epoch={epoch}.pt")
    (tmp_path / "model.pt").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"model_epoch=10\.pt beside it is good"):
        load_weights(network(), tmp_path / "model.pt")


def test_weights_of_another_network_are_refused_with_the_first_differences(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 5).state_dict() | {"extra": torch.zeros(1)}, tmp_path / "model.pt")
    with pytest.raises(ConfigurationError, match=r"3 differences, first: extra: not in.*weight: \(5, 3\) in the file"):
        load_weights(network(), tmp_path / "model.pt")
