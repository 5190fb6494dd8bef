"""2.5D inference equals a plain loop over slices, wherever it looks."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from torch import nn

from medbundles.components.inferers import SliceStackInferer
from medbundles.components.inferers.memory import ShrinkingRunner
from medbundles.components.inferers.tissue import Box, Tissue
from medbundles.errors import EnvironmentFailure


def pixelwise(slices: int = 7, channels: int = 1) -> nn.Module:
    """A network without a view beyond its pixel: what is tested is which slices it gets, and where results go."""
    torch.manual_seed(0)
    return nn.Conv2d(slices, channels, 1).eval()


def scan(height: int, width: int, depth: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1000, 1000, (1, 1, height, width, depth), generator=generator, dtype=torch.int16)


def whole(box: Box) -> Tissue:
    """Tissue of which everything in the box counts."""
    return Tissue(box, np.ones((1, 1, 1), dtype=bool), (1000, 1000, 1000))


def naive(volume: torch.Tensor, network: nn.Module, slices: int = 7) -> torch.Tensor:
    depth = volume.shape[-1]
    results = []
    for level in range(depth):
        stack = [
            volume[0, 0, :, :, min(max(level + offset, 0), depth - 1)]
            for offset in range(-(slices // 2), slices // 2 + 1)
        ]
        with torch.no_grad():
            results.append(network(torch.stack(stack)[None].float())[0])
    return torch.stack(results, dim=-1)[None]


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    depth=st.integers(1, 12),
    batch_size=st.integers(1, 5),
    slices=st.sampled_from([1, 3, 7]),
)
def test_equals_a_loop_over_clamped_stacks_for_any_size(
    height: int, width: int, depth: int, batch_size: int, slices: int
) -> None:
    volume, network = scan(height, width, depth), pixelwise(slices)
    logits = SliceStackInferer(slices=slices, batch_size=batch_size, backend="eager")(volume, network)
    torch.testing.assert_close(logits, naive(volume, network, slices), rtol=1e-4, atol=1e-2)


def test_first_and_last_slice_see_themselves_beyond_the_ends() -> None:
    class FirstChannel(nn.Module):
        def forward(self, stacks: torch.Tensor) -> torch.Tensor:
            return stacks[:, :1]

    volume = torch.arange(9, dtype=torch.float32).expand(1, 1, 4, 4, 9)
    logits = SliceStackInferer(backend="eager")(volume, FirstChannel())
    assert logits[0, 0, 0, 0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5]


def test_outside_of_the_tissue_box_nothing_is_computed() -> None:
    seen: list[tuple[int, ...]] = []

    class Watched(nn.Module):
        def forward(self, stacks: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(stacks.shape))
            return stacks[:, :1] * 0

    box = (slice(10, 30), slice(8, 40), slice(2, 5))
    inferer = SliceStackInferer(backend="eager", batch_size=2, tissue=lambda _volume, _spacing: whole(box))
    logits = inferer(scan(64, 64, 9), Watched())
    assert set(seen) == {(2, 7, 32, 32)}, "one shape for all batches, as small as the divisor allows"
    assert (logits[..., :2] == -20).all()
    assert (logits[..., 5:] == -20).all()
    assert (logits[0, 0, 10:30, 8:40, 2:5] == 0).all()
    assert (logits[0, 0, :, 40:] == -20).all()


def test_inside_of_the_box_the_logits_are_those_of_the_whole_volume() -> None:
    volume, network = scan(48, 48, 10), pixelwise()
    box = (slice(16, 32), slice(0, 32), slice(3, 7))
    logits = SliceStackInferer(backend="eager", tissue=lambda _volume, _spacing: whole(box))(volume, network)
    torch.testing.assert_close(logits[(..., *box)], naive(volume, network)[(..., *box)], rtol=1e-4, atol=1e-2)


def test_inside_of_the_box_only_the_tissue_counts() -> None:
    volume, network = scan(16, 16, 6), pixelwise()
    mask = np.zeros((4, 4, 3), dtype=bool)
    mask[1, 2, 0] = mask[3, 0, 2] = True
    tissue = Tissue((slice(0, 16), slice(0, 16), slice(0, 6)), mask, (4, 4, 2))
    logits = SliceStackInferer(backend="eager", tissue=lambda _volume, _spacing: tissue)(volume, network)
    counts = torch.from_numpy(mask.repeat(4, 0).repeat(4, 1).repeat(2, 2))[None, None]
    torch.testing.assert_close(logits[counts], naive(volume, network)[counts], rtol=1e-4, atol=1e-2)
    assert (logits[~counts] == -20).all()


def test_without_plausible_tissue_everything_is_looked_at() -> None:
    volume, network = scan(16, 16, 3), pixelwise()
    logits = SliceStackInferer(backend="eager", tissue=lambda _volume, _spacing: None)(volume, network)
    torch.testing.assert_close(logits, naive(volume, network), rtol=1e-4, atol=1e-2)


def test_tissue_is_searched_with_the_scans_spacing() -> None:
    spacings = []

    def finder(_volume: torch.Tensor, spacing: tuple[float, float, float]) -> None:
        spacings.append(tuple(spacing))

    affine = torch.diag(torch.tensor([0.7, 0.8, 2.5, 1.0], dtype=torch.float64))
    SliceStackInferer(backend="eager", tissue=finder)(MetaTensor(scan(16, 16, 3), affine=affine), pixelwise())
    assert spacings == [pytest.approx((0.7, 0.8, 2.5))]


def test_meta_data_pass_through() -> None:
    affine = torch.diag(torch.tensor([0.7, 0.7, 2.5, 1.0], dtype=torch.float64))
    volume = MetaTensor(scan(16, 16, 3), affine=affine, meta={"filename_or_obj": "a.nii.gz"})
    logits = SliceStackInferer(backend="eager")(volume, pixelwise())
    assert isinstance(logits, MetaTensor)
    assert logits.meta["filename_or_obj"] == "a.nii.gz"
    torch.testing.assert_close(logits.affine, affine)


def test_intensities_are_clamped_as_in_training() -> None:
    network = pixelwise()
    padded, clamped = scan(16, 16, 3), scan(16, 16, 3)
    padded[..., 0, 0, :], clamped[..., 0, 0, :] = -3024, -1000
    inferer = SliceStackInferer(backend="eager", intensity_range=(-1000.0, 1000.0))
    torch.testing.assert_close(inferer(padded, network), inferer(clamped, network))


def test_values_of_any_other_window_are_left_alone() -> None:
    volume, network = scan(16, 16, 3), pixelwise()
    volume[..., 0, 0, :] = -1400
    logits = SliceStackInferer(backend="eager")(volume, network)
    torch.testing.assert_close(logits, naive(volume, network), rtol=1e-4, atol=1e-2)


def test_volumes_of_a_batch_are_independent() -> None:
    first, second, network = scan(16, 16, 5, seed=1), scan(16, 16, 5, seed=2), pixelwise()
    inferer = SliceStackInferer(backend="eager")
    both = inferer(torch.cat([first, second]), network)
    torch.testing.assert_close(both[1:], inferer(second, network))


def test_several_output_channels_are_kept() -> None:
    volume, network = scan(16, 16, 5), pixelwise(channels=2)
    logits = SliceStackInferer(backend="eager")(volume, network)
    torch.testing.assert_close(logits, naive(volume, network), rtol=1e-4, atol=1e-2)


def test_half_precision_output_halves_the_memory_only() -> None:
    volume, network = scan(16, 16, 5), pixelwise()
    half = SliceStackInferer(backend="eager", output_dtype="float16")(volume, network)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), naive(volume, network), rtol=2e-3, atol=1e-2)


def test_no_gradient_is_recorded() -> None:
    assert not SliceStackInferer(backend="eager")(scan(16, 16, 3), pixelwise()).requires_grad


def test_an_inferer_that_has_run_can_be_pickled() -> None:
    inferer = SliceStackInferer(backend="eager")
    volume, network = scan(16, 16, 3), pixelwise()
    expected = inferer(volume, network)
    torch.testing.assert_close(pickle.loads(pickle.dumps(inferer))(volume, network), expected)


@pytest.mark.parametrize("slices", [0, -1, 4])
def test_an_even_number_of_slices_is_refused(slices: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        SliceStackInferer(slices=slices)


def test_an_unknown_output_type_is_refused() -> None:
    with pytest.raises(ValueError, match="float16"):
        SliceStackInferer(output_dtype="int8")


@pytest.mark.parametrize("shape", [(1, 2, 16, 16, 4), (1, 16, 16, 4)])
def test_anything_but_one_channel_volumes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, H, W, D\)"):
        SliceStackInferer()(torch.zeros(shape), pixelwise())


class Starved:
    """A network on a machine that has room for so many pixels."""

    def __init__(self, pixels: int, error: BaseException) -> None:
        self.pixels = pixels
        self.error = error

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        if batch.shape[0] * batch.shape[2] * batch.shape[3] > self.pixels:
            raise self.error
        return nn.functional.avg_pool2d(batch, 3, stride=1, padding=1, count_include_pad=False)[:, :1]


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["gpu", "python", "cpu"])
def test_out_of_memory_goes_on_with_smaller_batches_and_says_so(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    batch = torch.rand(4, 7, 32, 32)
    with caplog.at_level(logging.WARNING):
        output = ShrinkingRunner(Starved(1100, error))(batch)
    torch.testing.assert_close(output, Starved(10**9, error)(batch))
    assert [record.message.split("]")[0] for record in caplog.records] == ["warning[TRN004", "warning[TRN004"]
    assert "batches of 1" in caplog.text


def test_out_of_memory_with_one_slice_goes_on_with_tiles_without_seams(caplog: pytest.LogCaptureFixture) -> None:
    batch = torch.rand(1, 7, 400, 304)
    with caplog.at_level(logging.WARNING):
        output = ShrinkingRunner(Starved(220 * 220, MemoryError()))(batch)
    torch.testing.assert_close(output, Starved(10**9, MemoryError())(batch))
    assert "tiles of 208 x 208" in caplog.text


def test_what_fitted_is_remembered_for_the_next_batch(caplog: pytest.LogCaptureFixture) -> None:
    runner = ShrinkingRunner(Starved(1100, MemoryError()))
    runner(torch.rand(2, 7, 32, 32))
    caplog.clear()
    runner(torch.rand(2, 7, 32, 32))
    assert not caplog.records


def test_no_memory_at_all_is_an_environment_failure() -> None:
    with pytest.raises(EnvironmentFailure, match="TRN004"):
        ShrinkingRunner(Starved(10, MemoryError()))(torch.rand(1, 7, 32, 32))


def test_a_window_is_never_taken_apart() -> None:
    with pytest.raises(EnvironmentFailure, match=r"TRN004.*no memory for one window of 304 x 304 voxels"):
        ShrinkingRunner(Starved(220 * 220, MemoryError()), tiles=False)(torch.rand(2, 7, 304, 304))


def test_other_errors_of_the_network_are_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        ShrinkingRunner(Starved(10, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))(
            torch.rand(1, 7, 32, 32)
        )


def test_the_input_is_left_as_it_was() -> None:
    volume = scan(16, 16, 4)
    before = volume.clone()
    SliceStackInferer(backend="eager")(volume, pixelwise())
    assert np.array_equal(volume.numpy(), before.numpy())
