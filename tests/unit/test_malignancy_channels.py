"""Every labelled voxel takes the verdict of its nodule, on any grid; what has no verdict is taught as nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, Transform

from medbundles.components.datasets import Draw, SiteDataset
from medbundles.components.losses import FalseNegativeWeightedDiceLoss
from medbundles.components.transforms import FindSitesd, MalignancyChannelsd, RandSliceStackd
from medbundles.errors import ConfigurationError, DataError
from medbundles.io.grids import flip_lps, to_world

SHAPE = (40, 30, 20)
TURN = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1]])
GRIDS = {
    "plain": np.eye(3),
    "flipped": np.diag([-0.7, -0.7, 2.0]),
    "oblique": TURN @ np.diag([0.7, 0.8, 1.5]),
    "permuted": np.array([[0, 0, 2.0], [-0.8, 0, 0], [0, 0.9, 0]]),
}


def affine_of(grid: str) -> npt.NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = GRIDS[grid], (12.0, -80.0, 150.0)
    return affine


def nodule(affine: npt.NDArray[np.float64], index: tuple[int, int, int], diameter: float, verdict: bool | None) -> dict:
    center = flip_lps(to_world(affine, index)).tolist()
    return {"center_lps_mm": center, "diameter_mm": diameter, "malignant": verdict}


def split(label: npt.NDArray[Any], nodules: Any, affine: npt.NDArray[np.float64] | None = None) -> MetaTensor:
    tensor = MetaTensor(torch.from_numpy(label.astype(np.uint8))[None], affine=np.eye(4) if affine is None else affine)
    item = {"label": tensor, "case": "anna", "nodules": nodules}
    result = MalignancyChannelsd()({key: value for key, value in item.items() if value is not None})["label"]
    assert isinstance(result, MetaTensor)
    return result


def two_boxes() -> npt.NDArray[np.uint8]:
    label = np.zeros(SHAPE, np.uint8)
    label[4:9, 4:9, 4:9] = label[25:30, 20:25, 12:17] = 1
    return label


@pytest.mark.parametrize("grid", GRIDS)
def test_every_voxel_takes_the_verdict_of_the_nearest_nodule_on_any_grid(grid: str) -> None:
    affine = affine_of(grid)
    nodules = [nodule(affine, (6, 6, 6), 6, False), nodule(affine, (27, 22, 14), 6, True)]
    channels = split(two_boxes(), nodules, affine)
    assert np.argwhere(np.asarray(channels[0]) == 1).max(axis=0).tolist() == [8, 8, 8]
    assert np.argwhere(np.asarray(channels[1]) == 1).min(axis=0).tolist() == [25, 20, 12]
    assert int(channels.sum()) == 250


def test_nodules_that_touch_are_parted_where_both_are_as_near_for_their_size() -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[4:31, 10:13, 8:11] = 1
    # Radii of 9 and 3 mm, 24 mm apart: the border lies 18 mm from the larger one.
    nodules = [nodule(np.eye(4), (5, 11, 9), 18, True), nodule(np.eye(4), (29, 11, 9), 6, False)]
    benign, malignant = np.asarray(split(label, nodules))
    assert malignant[4:23, 11, 9].all()
    assert benign[24:31, 11, 9].all()
    assert not (benign & malignant).any()


def test_a_nodule_without_a_verdict_has_no_class_and_is_no_background() -> None:
    nodules = [nodule(np.eye(4), (6, 6, 6), 6, None), nodule(np.eye(4), (27, 22, 14), 6, True)]
    channels = split(two_boxes(), nodules)
    assert (channels[:, 4:9, 4:9, 4:9] == -1).all()
    assert int((channels == -1).sum()) == 2 * 125


def test_a_nodule_that_is_not_listed_has_no_verdict() -> None:
    channels = split(two_boxes(), [nodule(np.eye(4), (6, 6, 6), 6, False)])
    assert (channels[:, 25:30, 20:25, 12:17] == -1).all()


@pytest.mark.parametrize("listed", [None, [nodule(np.eye(4), (6, 6, 6), 6, True)]], ids=["no list", "a list"])
def test_a_label_drawn_with_two_values_says_it_itself(listed: Any) -> None:
    label = two_boxes()
    label[25:30] *= 2
    channels = split(label, listed)
    assert channels.sum(dim=(1, 2, 3)).tolist() == [125, 125]
    assert (channels[1, 25:30, 20:25, 12:17] == 1).all()


def test_a_label_without_a_list_of_nodules_is_drawn_benign() -> None:
    assert split(two_boxes(), None).sum(dim=(1, 2, 3)).tolist() == [250, 0]


def test_an_empty_label_stays_empty_on_its_grid() -> None:
    channels = split(np.zeros(SHAPE), [], affine_of("oblique"))
    assert channels.shape == (2, *SHAPE)
    assert not channels.any()
    np.testing.assert_allclose(channels.affine, affine_of("oblique"))


@pytest.mark.parametrize(
    "wrong", [{"diameter_mm": 5.0}, {"center_lps_mm": [1, 2, 3]}, {"center_lps_mm": [1, 2, 3], "diameter_mm": 0}]
)
def test_a_nodule_without_place_or_size_is_refused_with_its_case(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"LUN012.*case anna.*no center_lps_mm or no diameter_mm"):
        split(two_boxes(), [wrong])


def test_a_label_of_several_channels_is_refused() -> None:
    label = MetaTensor(torch.zeros(2, *SHAPE))
    with pytest.raises(ConfigurationError, match="one channel, found 2"):
        MalignancyChannelsd()({"label": label})


class Load(Transform):
    """Gives every record the same two boxes in air."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        image = MetaTensor(torch.full((1, *SHAPE), -900, dtype=torch.int16), affine=torch.eye(4))
        return data | {"image": image, "label": MetaTensor(torch.from_numpy(two_boxes())[None], affine=torch.eye(4))}


def dataset(folder: Path, *verdicts: bool | None) -> SiteDataset:
    file = folder / "a.nii"
    if not file.exists():
        file.write_bytes(b"1")
    nodules = [nodule(np.eye(4), (6, 6, 6), 6, verdicts[0]), nodule(np.eye(4), (27, 22, 14), 6, verdicts[1])]
    steps = Compose([Load(), MalignancyChannelsd(), FindSitesd(), RandSliceStackd(slices=3, crop_size=(16, 16))])
    return SiteDataset([{"image": str(file), "case": "a", "nodules": nodules}], steps, folder / "cache")


def test_samples_have_a_channel_for_each_class(tmp_path: Path) -> None:
    samples = dataset(tmp_path, False, True)
    labels = [samples[Draw(0, "site", site, seed=1)]["label"] for site in range(2)]
    assert [label.sum(dim=(1, 2)).tolist() for label in labels] == [[25, 0], [0, 25]]


def test_no_sample_is_drawn_around_a_nodule_without_a_verdict(tmp_path: Path) -> None:
    assert dataset(tmp_path, None, True).sites == [(0, 0)]


def test_what_has_no_verdict_teaches_nothing_in_a_slice_that_shows_it(tmp_path: Path) -> None:
    samples = dataset(tmp_path, None, True)
    label = next(
        sample["label"][None]
        for seed in range(50)
        if bool(((sample := samples[Draw(0, "full_slice", -1, seed)])["label"] < 0).any())
    )
    logits = torch.zeros(label.shape, requires_grad=True)
    loss = FalseNegativeWeightedDiceLoss(2.0, cross_entropy_weight=1.0, per_channel=True, ignore_negative=True)
    (slope,) = torch.autograd.grad(loss(logits, label), logits)
    assert torch.equal(slope != 0, label >= 0)


def test_a_changed_verdict_is_not_read_from_the_cache(tmp_path: Path) -> None:
    before, after = dataset(tmp_path, False, True).entries, dataset(tmp_path, True, True).entries
    assert before != after
    assert before == dataset(tmp_path, False, True).entries
