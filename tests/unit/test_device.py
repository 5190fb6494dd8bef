"""The device rule and what stands around a group of processes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medbundles.components import device as rule
from medbundles.components.device import choose_device, has_mixed_precision, select_device
from medbundles.components.distributed import is_writer, rank, world_size, wrap_for_distributed
from medbundles.errors import ConfigurationError, EnvironmentFailure


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Test GPU")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_without_a_gpu_is_the_cpu_and_says_why_once(no_gpu: None, capsys: pytest.CaptureFixture[str]) -> None:
    rule._announced.clear()
    assert select_device("auto") == select_device("auto") == torch.device("cpu")
    assert capsys.readouterr().err.count("device: cpu (auto: no GPU found") == 1


def test_auto_takes_the_first_gpu_and_under_torchrun_that_of_the_process(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_device("auto").device == torch.device("cuda", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto").device == choose_device("cuda").device == torch.device("cuda", 1)


@pytest.mark.parametrize("request_", ["cpu", torch.device("cpu"), " CPU "])
def test_a_device_asked_for_is_taken(request_: str | torch.device) -> None:
    assert choose_device(request_).device == torch.device("cpu")


@pytest.mark.parametrize("absent", ["cuda", "cuda:1", "mps"])
def test_a_device_asked_for_and_absent_is_refused(no_gpu: None, absent: str) -> None:
    with pytest.raises(EnvironmentFailure, match=rf"TRN010.*device {absent} was asked for.*--device cpu"):
        select_device(absent)


def test_a_gpu_number_that_is_not_there_is_refused_with_the_count(two_gpus: None) -> None:
    with pytest.raises(EnvironmentFailure, match=r"2 CUDA GPU\(s\) are visible"):
        select_device("cuda:2")


@pytest.mark.parametrize("nonsense", ["gpu", "", "cuda:x", "meta"])
def test_what_names_no_device_is_a_wrong_configuration(nonsense: str) -> None:
    with pytest.raises(ConfigurationError, match="is none of auto, cpu, cuda, mps"):
        select_device(nonsense)


def test_alone_a_network_is_only_moved() -> None:
    network = nn.Linear(2, 1)
    assert wrap_for_distributed(network, "cpu") is network
    assert (rank(), world_size(), is_writer()) == (0, 1, True)


def test_the_rank_is_known_before_the_group_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (rank(), world_size(), is_writer()) == (1, 2, False)


@pytest.mark.parametrize(("bfloat16", "amx"), [(True, False), (False, True), (False, False)])
def test_a_cpu_trains_in_mixed_precision_where_it_has_units_for_it(
    monkeypatch: pytest.MonkeyPatch, bfloat16: bool, amx: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bfloat16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert has_mixed_precision(torch.device("cpu")) is (bfloat16 or amx)


def test_of_other_devices_cuda_alone_trains_in_mixed_precision() -> None:
    assert has_mixed_precision(torch.device("cuda", 1))
    assert not has_mixed_precision(torch.device("mps"))
