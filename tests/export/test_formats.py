"""Converted networks: the same numbers at any size, and no silent difference."""

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from medbundles.components.networks import load_weights, network_from_model
from medbundles.formats import NotScriptable, ParityError, compare, write_onnx, write_torchscript
from medbundles.io.model_json import read_model


@pytest.fixture(scope="module")
def network(run_folder: Path) -> nn.Module:
    network = network_from_model(read_model(run_folder / "model.pt"))
    load_weights(network, run_folder / "model.pt")
    return network.eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    """Another batch and another size than the export has seen."""
    return torch.rand((1, 7, 72, 40), generator=torch.Generator().manual_seed(1)) * 2000 - 1000


@torch.no_grad()
def test_onnx_answers_like_the_original_at_any_size(unzipped: Path, network: nn.Module, image: torch.Tensor) -> None:
    session = onnxruntime.InferenceSession(unzipped / "models" / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["pred"], {"image": image.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), network(image), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_torchscript_answers_like_the_original_at_any_size(
    unzipped: Path, network: nn.Module, image: torch.Tensor
) -> None:
    scripted = torch.jit.load(unzipped / "models" / "model.ts")
    torch.testing.assert_close(scripted(image), network(image), rtol=1e-4, atol=1e-4)


def test_torchscript_carries_the_configuration(unzipped: Path) -> None:
    extra = {"metadata.json": "", "inference.json": ""}
    torch.jit.load(unzipped / "models" / "model.ts", _extra_files=extra)
    assert b"network_data_format" in extra["metadata.json"]
    assert b'"bundle_root": "."' in extra["inference.json"]


def test_onnx_carries_no_source_positions(unzipped: Path) -> None:
    model = onnx.load(unzipped / "models" / "model.onnx")
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_a_network_torchscript_cannot_express_is_named(tmp_path: Path) -> None:
    class Unscriptable(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image + sum(size for size in {*image.shape})

    with pytest.raises(NotScriptable, match=r"\w"):
        write_torchscript(tmp_path / "model.ts", Unscriptable(), torch.zeros(1, 1, 8, 8), {})
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"pred differs from the original by 0\.5"):
        compare("ONNX", {"pred": torch.zeros(3)}, {"pred": torch.tensor([0, 0, 0.5])})


def test_not_a_number_is_a_difference() -> None:
    with pytest.raises(ParityError, match="nan"):
        compare("ONNX", {"pred": torch.zeros(1)}, {"pred": torch.tensor([torch.nan])})


@pytest.mark.slow
def test_3d_networks_export_with_free_sizes(tmp_path: Path) -> None:
    network = UNet(spatial_dims=3, in_channels=2, out_channels=1, channels=[4, 8], strides=[2], norm="instance").eval()
    images = [torch.rand(1, 2, 16, 16, 16), torch.rand(2, 2, 24, 16, 8)]
    write_onnx(tmp_path / "model.onnx", network, images, dynamic=[0, 2, 3, 4])
    assert (tmp_path / "model.onnx").is_file()
