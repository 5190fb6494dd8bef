"""A second look at findings: cubes at world positions, samples to learn from, scores that only go down."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.networks.nets import ResNet
from torch import nn

from medbundles.components.cubes import CubeGrid, cut_cubes
from medbundles.components.networks import describe_network
from medbundles.components.second_look import second_look
from medbundles.components.transforms import RandCubesd, RescoreFindingsd
from medbundles.errors import ConfigurationError, DataError
from medbundles.io.grids import to_world
from medbundles.io.hashing import sha256_file

# Oblique, flipped in x, 0.7 x 0.7 x 2.5 mm.
TURN = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN @ np.diag([-0.7, 0.7, 2.5])
AFFINE[:3, 3] = [80, -120, 300]
SHAPE = (90, 80, 40)
SLOPE = np.array([2.0, -3.0, 1.5])


def world_ramp(affine: npt.NDArray[np.float64] = AFFINE) -> npt.NDArray[np.float32]:
    """Return a volume whose value is a linear function of the world position: interpolation reproduces it exactly."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return ((index @ affine[:3, :3].T + affine[:3, 3]) @ SLOPE).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.tuples(st.floats(30, 60), st.floats(30, 50), st.floats(12, 28)))
def test_cubes_show_the_world_around_a_place_whatever_the_grid(index: tuple[float, float, float]) -> None:
    center = to_world(AFFINE, np.array(index))
    offsets = CubeGrid(5, (0.5, 2.0)).offsets_mm()
    expected = ((center + np.moveaxis(offsets, 0, -1)) @ SLOPE).astype(np.float32)
    np.testing.assert_allclose(cut_cubes(world_ramp(), AFFINE, center, offsets), expected, atol=1e-2)


def test_the_axes_of_a_cube_are_those_of_the_world() -> None:
    offsets = CubeGrid(3, (1.0,)).offsets_mm()
    assert offsets[:, 0, 2, 1, 1].tolist() == [1.0, 0.0, 0.0]
    assert offsets[:, 0, 1, 1, 0].tolist() == [0.0, 0.0, -1.0]


def test_beyond_the_volume_lies_the_fill() -> None:
    volume = np.full((10, 10, 4), 50, dtype=np.int16)
    cubes = cut_cubes(volume, np.eye(4), [0.0, 5.0, 2.0], CubeGrid(5, (1.0,)).offsets_mm(), fill=-1000)
    assert (cubes[0, :2] == -1000).all()
    assert cubes[0, 2, 2, 2] == 50


def test_a_place_far_outside_is_all_fill() -> None:
    cubes = cut_cubes(np.zeros((8, 8, 8)), np.eye(4), [900.0, 0.0, 0.0], CubeGrid(4, (1.0,)).offsets_mm(), fill=-7)
    assert (cubes == -7).all()


@pytest.mark.parametrize(("size", "spacings"), [(1, (1.0,)), (8, ()), (8, (0.0,))])
def test_cubes_without_extent_are_refused(size: int, spacings: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="cubes need"):
        CubeGrid(size, spacings)


def sample_item(kind: str) -> dict[str, Any]:
    image = np.full((1, *SHAPE), -900, dtype=np.int16)
    image[0, 40:46, 30:36, 20:22] = 60
    return {
        "image": MetaTensor(torch.from_numpy(image), affine=torch.from_numpy(AFFINE)),
        "sites": [[[40, 46], [30, 36], [20, 22]]],
        "tissue_points": np.array([[42, 32, 20], [70, 70, 5]]),
        "kind": kind,
        "site": 0,
        "place": [70, 70, 5],
        "case": "anna",
    }


def rand_cubes(seed: int, **options: Any) -> RandCubesd:
    transform = RandCubesd(size=9, **options)
    transform.set_random_state(seed=seed)
    return transform


@pytest.mark.parametrize(("kind", "label", "dense"), [("site", 1, True), ("hard_negative", 0, False)])
def test_a_sample_shows_what_it_is_labelled_as(kind: str, label: int, dense: bool) -> None:
    sample = rand_cubes(3, noise=0.0, offset=0.0)(sample_item(kind))
    assert sample["label"].tolist() == [label]
    assert bool(sample["image"][0, 4, 4, 4] > -100) == dense
    assert sample["image"].shape == (2, 9, 9, 9)


def test_background_is_never_taken_from_a_lesion() -> None:
    for seed in range(10):
        sample = rand_cubes(seed, noise=0.0, offset=0.0)(sample_item("background"))
        assert sample["label"].tolist() == [0]
        assert sample["image"][0, 4, 4, 4] < -800


def test_a_sample_depends_on_its_seed_alone() -> None:
    transform = rand_cubes(1)
    first = transform(sample_item("site"))["image"]
    other = transform(sample_item("site"))["image"]
    transform.set_random_state(seed=1)
    assert torch.equal(transform(sample_item("site"))["image"], first)
    assert not torch.equal(first, other)


class ByBrightness(nn.Module):
    """Says 0.9 of what is bright in the middle, 0.1 of the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.batches: list[int] = []

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(cubes))
        middle = cubes[:, 0, 15:17, 15:17, 15:17].mean(dim=(1, 2, 3))[:, None]
        return torch.where(middle > -200, 2.1972246, -2.1972246)


def found_item() -> dict[str, Any]:
    image = np.full((1, *SHAPE), -900, dtype=np.int16)
    image[0, 38:48, 28:38, 18:24] = 60
    probability = torch.zeros(1, *SHAPE)
    probability[0, 42:44, 32:34, 20:22] = 0.8
    probability[0, 41, 32, 20] = 0.3
    probability[0, 10:12, 10:12, 5:7] = 1.0
    probability[0, 60, 60, 30] = 0.05
    affine = torch.from_numpy(AFFINE)
    return {
        "image": MetaTensor(torch.from_numpy(image), affine=affine),
        "pred": MetaTensor(probability, affine=affine, meta={"case": "anna"}),
    }


def test_a_finding_s_new_score_is_the_product() -> None:
    item = found_item()
    after = RescoreFindingsd(ByBrightness(), 0.1)(item)["pred"]
    assert float(after[0, 42, 32, 20]) == pytest.approx(0.72, abs=1e-4)
    assert float(after[0, 10, 10, 5]) == pytest.approx(0.1, abs=1e-4)


def test_lower_voxels_and_what_is_no_finding_stay_as_they_are() -> None:
    after = RescoreFindingsd(ByBrightness(), 0.1)(found_item())["pred"]
    assert float(after[0, 41, 32, 20]) == pytest.approx(0.3)
    assert float(after[0, 60, 60, 30]) == pytest.approx(0.05)


def test_the_input_is_left_alone_and_the_meta_data_stay() -> None:
    item = found_item()
    after = RescoreFindingsd(ByBrightness(), 0.1)(item)["pred"]
    assert float(item["pred"].max()) == 1.0
    assert after.meta["case"] == "anna"
    np.testing.assert_array_equal(after.affine, AFFINE)


def test_a_finding_of_several_classes_is_judged_once_and_keeps_its_shares() -> None:
    item, network = found_item(), ByBrightness()
    alone = item["pred"]
    item["pred"] = MetaTensor(torch.cat([alone / 4, alone])).copy_meta_from(alone)
    after = RescoreFindingsd(network, 0.1)(item)["pred"]
    torch.testing.assert_close(after[1:], RescoreFindingsd(ByBrightness(), 0.1)(found_item())["pred"])
    torch.testing.assert_close(after[0], after[1] / 4)
    assert network.batches == [2]


def test_without_a_second_network_nothing_changes() -> None:
    item = found_item()
    assert RescoreFindingsd(None, 0.1)(item)["pred"] is item["pred"]


def test_a_scan_without_findings_never_reaches_the_network() -> None:
    network = ByBrightness()
    RescoreFindingsd(network, 0.1)(found_item() | {"pred": MetaTensor(torch.zeros(1, *SHAPE))})
    assert network.batches == []


def test_findings_are_judged_in_batches() -> None:
    network = ByBrightness()
    RescoreFindingsd(network, 0.1, batch_size=1)(found_item())
    assert network.batches == [1, 1]


def model_of(folder: Path) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [2, 2, 2, 2], "n_input_channels": 2,
        "conv1_t_size": 3, "no_max_pool": True, "num_classes": 1,
    }  # fmt: skip
    network = ResNet(**arguments)
    torch.save(network.state_dict(), folder / "second_stage.pt")

    described = describe_network({"ResNet": functools.partial(ResNet, **arguments)}, "ResNet", None, 3)
    return {
        "preprocessing": {"window_hu": [-1000, 1000]},
        "postprocessing": {
            "second_stage": {"file": "second_stage.pt", "network": described, "size": 16, "spacings_mm": [1.0, 2.0]}
        },
        "thresholds": {"candidate_threshold": 0.1},
        "files": {"second_stage.pt": sha256_file(folder / "second_stage.pt")},
    }


def test_a_model_s_second_network_is_built_and_loaded(tmp_path: Path) -> None:
    look = second_look(model_of(tmp_path), tmp_path / "model.pt")
    assert look.network is not None
    assert look.grid == CubeGrid(16, (1.0, 2.0), -1000)


@pytest.mark.parametrize("setting", ["none", None])
def test_the_second_network_can_be_left_out(tmp_path: Path, setting: str | None) -> None:
    assert second_look(model_of(tmp_path), tmp_path / "model.pt", setting).network is None


def test_a_model_without_a_second_network_has_none(tmp_path: Path) -> None:
    model = model_of(tmp_path) | {"postprocessing": {"smoothing_mm": 1.0}}
    assert second_look(model, tmp_path / "model.pt").network is None


def test_missing_weights_of_the_second_network_are_named(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    (tmp_path / "second_stage.pt").unlink()
    with pytest.raises(DataError, match=r"TRN011.*second_stage\.pt"):
        second_look(model, tmp_path / "model.pt")


def test_another_training_s_second_network_is_refused(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    model["files"]["second_stage.pt"] = "0" * 64
    with pytest.raises(DataError, match="SHA-256 differs"):
        second_look(model, tmp_path / "model.pt")


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected auto or none"):
        second_look(model_of(tmp_path), tmp_path / "model.pt", "yes")


def test_a_second_network_that_says_no_number_is_refused_with_the_case() -> None:
    class Broken(ByBrightness):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return super().forward(batch) * float("nan")

    with pytest.raises(DataError, match=r"TRN003.*anna"):
        RescoreFindingsd(Broken(), 0.1)(found_item())


def test_in_place_the_same_scores_are_written_over_the_input() -> None:
    item, expected = found_item(), RescoreFindingsd(ByBrightness(), 0.1)(found_item())["pred"]
    after = RescoreFindingsd(ByBrightness(), 0.1, in_place=True)(item)["pred"]
    assert after.data_ptr() == item["pred"].data_ptr()
    torch.testing.assert_close(item["pred"], expected)
