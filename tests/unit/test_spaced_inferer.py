"""A network on voxels of one size gives answers where they belong, whatever the image's voxels are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import SimpleInferer

from medbundles.components.inferers import MixedPrecisionInferer, SpacedInferer, TissueWindowInferer
from medbundles.errors import ConfigurationError


def image_of(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> MetaTensor:
    """Return a smooth blob in the middle of zeros, as a batch of one."""
    places = np.indices(shape).transpose(1, 2, 3, 0) * spacing
    middle = (np.array(shape) - 1) / 2 * spacing
    distance = np.linalg.norm(places - middle, axis=-1)
    values = np.where(distance < 12, np.exp(-((distance / 6) ** 2)) + 0.1, 0)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    return MetaTensor(torch.as_tensor(values, dtype=torch.float32)[None, None], affine=torch.as_tensor(affine)[None])


def seen_by(inferer: SpacedInferer, image: torch.Tensor) -> tuple[int, ...]:
    shapes = []

    def network(batch: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(batch.shape))
        return batch

    inferer(image, network)
    return shapes[0]


def identity(batch: torch.Tensor) -> torch.Tensor:
    return batch


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.2, 2.0), (0.5, 0.5, 3.0)])
def test_what_the_network_returns_lies_where_it_was_seen(spacing: tuple[float, float, float]) -> None:
    shape = tuple(round(30 / edge) for edge in spacing)
    image = image_of(shape, spacing)
    result = SpacedInferer(SimpleInferer(), 1.0, outside_value=0.0)(image, identity)
    assert result.shape == image.shape
    weights = result[0, 0].clamp(min=0).as_tensor().numpy()
    center = [float((np.arange(size) * weights.sum(axis=tuple({0, 1, 2} - {axis}))).sum() / weights.sum())
              for axis, size in enumerate(shape)]  # fmt: skip
    np.testing.assert_allclose(center, (np.array(shape) - 1) / 2, atol=0.05)


def test_the_network_sees_cubes_of_the_wanted_edge() -> None:
    image = image_of((30, 30, 15), (1.0, 1.0, 2.0))
    image[image == 0] = 0.01
    assert seen_by(SpacedInferer(SimpleInferer(), 1.5), image)[2:] == (20, 20, 20)


def test_voxels_of_the_wanted_edge_are_not_interpolated() -> None:
    image = image_of((30, 30, 30), (1.0, 1.0, 1.0))
    result = SpacedInferer(SimpleInferer(), 1.0, outside_value=0.0)(image, identity)
    assert torch.equal(result.as_tensor(), image.as_tensor())


def test_only_the_brains_box_is_shown() -> None:
    image = image_of((60, 60, 60), (1.0, 1.0, 1.0))
    assert max(seen_by(SpacedInferer(SimpleInferer(), 1.0), image)[2:]) < 30


def test_far_from_the_brain_the_answer_is_no() -> None:
    result = SpacedInferer(SimpleInferer(), 1.5)(image_of((60, 60, 60), (1.0, 1.0, 1.0)), identity)
    assert float(result[0, 0, 0, 0, 0].sigmoid()) < 1e-8


def test_the_affine_is_passed_on() -> None:
    image = image_of((30, 30, 15), (1.0, 1.0, 2.0))
    result = SpacedInferer(SimpleInferer(), 1.5)(image, identity)
    assert torch.equal(result.affine, image.affine)


def test_noise_of_fine_voxels_is_averaged() -> None:
    noise = MetaTensor(torch.randn(1, 1, 32, 32, 32), affine=torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0]))[None])
    shown: list[torch.Tensor] = []
    SpacedInferer(SimpleInferer(), 1.0)(noise, lambda batch: shown.append(batch) or batch)  # type: ignore[func-returns-value]
    assert float(shown[0].std()) == pytest.approx(8**-0.5, rel=0.1)


def test_an_empty_image_is_no_mistake() -> None:
    result = SpacedInferer(SimpleInferer(), 1.5)(torch.zeros(1, 2, 16, 16, 16), identity)
    assert result.shape == (1, 2, 16, 16, 16)


def test_windows_of_the_inner_inferer_are_laid_on_the_coarse_grid() -> None:
    image = image_of((64, 64, 64), (0.5, 0.5, 0.5))
    inner = TissueWindowInferer((16, 16, 16), backend="eager")
    assert seen_by(SpacedInferer(inner, 1.0), image)[2:] == (16, 16, 16)


@pytest.mark.parametrize("edge", [0.0, -1.0])
def test_an_edge_that_is_not_above_0_is_refused(edge: float) -> None:
    with pytest.raises(ConfigurationError, match="spacing_mm"):
        SpacedInferer(SimpleInferer(), edge)


def test_training_in_bfloat16_returns_float32() -> None:
    convolution = torch.nn.Conv3d(1, 1, 1)
    seen: list[torch.dtype] = []
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    result = MixedPrecisionInferer()(torch.zeros(1, 1, 8, 8, 8), convolution)
    assert seen == [torch.bfloat16]
    assert result.dtype == torch.float32


def test_switched_off_everything_is_float32() -> None:
    convolution = torch.nn.Conv3d(1, 1, 1)
    assert MixedPrecisionInferer(enabled=False)(torch.zeros(1, 1, 8, 8, 8), convolution).dtype == torch.float32


def test_small_convolutions_are_not_computed_in_bfloat16() -> None:
    convolution = torch.nn.Conv3d(1, 1, 3, padding=1)
    seen: list[torch.dtype] = []
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    MixedPrecisionInferer()(torch.zeros(1, 1, 2, 2, 2), convolution)
    assert seen == [torch.float32]


@pytest.mark.parametrize("backend", ["eager", "channels_last", "openvino"])
def test_windows_in_bfloat16_give_nearly_the_same(backend: str) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 2, 3, padding=1).eval()
    image = torch.rand(1, 1, 20, 20, 20) + 0.5
    exact, quick = (
        TissueWindowInferer((16, 16, 16), backend=backend, amp=amp)(image, network) for amp in (False, True)
    )
    assert quick.dtype == torch.float32
    torch.testing.assert_close(quick, exact, atol=0.02, rtol=0.02)


def test_an_image_without_a_background_is_seen_as_a_whole() -> None:
    image = image_of((20, 20, 20), (1.0, 1.0, 1.0))
    inferer = SpacedInferer(SimpleInferer(), 1.0, outside_value=None)
    assert seen_by(inferer, image)[2:] == (20, 20, 20)
    torch.testing.assert_close(inferer(image, identity), image)
