"""Places that look like a lesion: the table, the samples drawn there, a network's own mistakes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, Transform

from medbundles.components.datasets import Draw, MixedSiteSampler, SiteDataset
from medbundles.components.handlers import HardNegativeTable
from medbundles.components.transforms import FindSitesd, RandSliceStackd
from medbundles.errors import DataError
from medbundles.io.hard_negatives import (
    GIVEN,
    TABLE_NAME,
    HardNegative,
    hard_negatives_path,
    read_hard_negatives,
    write_hard_negatives,
)

# RAS+ with the first two axes of the world backwards in LPS, voxels of 2 mm, an origin away from zero.
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0]) + np.array([[0, 0, 0, -50], [0, 0, 0, 30], [0, 0, 0, 7], [0, 0, 0, 0]])


def lps(index: tuple[int, int, int]) -> tuple[float, float, float]:
    x, y, z, _ = AFFINE @ [*index, 1]
    return -x, -y, z


class Volume(Transform):
    """A volume whose values name their column, with one labelled voxel in the corner."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        image = np.broadcast_to(np.arange(60, dtype=np.int16)[:, None, None], (60, 60, 12))[None].copy()
        label = np.zeros((1, 60, 60, 12), dtype=np.uint8)
        label[0, 1, 1, 1] = 1
        tensors = {"image": torch.from_numpy(image), "label": torch.from_numpy(label)}
        return {
            **{key: MetaTensor(tensor, affine=torch.from_numpy(AFFINE)) for key, tensor in tensors.items()},
            "case": data["case"],
        }


def make_dataset(folder: Path, places: list[HardNegative] | None) -> SiteDataset:
    (folder / "anna.nii").write_bytes(b"1")
    table = None
    if places is not None:
        table = folder / TABLE_NAME
        write_hard_negatives(table, places)
    transform = Compose([Volume(), FindSitesd(), RandSliceStackd(slices=1, crop_size=(17, 17))])
    records = [{"image": str(folder / "anna.nii"), "case": "anna"}]
    return SiteDataset(records, transform, folder / "cache", hard_negatives=table)


def test_a_sample_lies_at_its_world_position(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [HardNegative("anna", lps((30, 40, 6)))])
    middles = [int(dataset[Draw(0, "hard_negative", 0, seed)]["image"][0, 8, 8]) for seed in range(40)]
    assert min(middles) >= 30 - 8
    assert max(middles) <= 30 + 8
    assert abs(np.mean(middles) - 30) < 3


def test_places_of_other_cases_are_left_out(tmp_path: Path) -> None:
    places = [HardNegative("anna", lps((30, 40, 6))), HardNegative("ben", lps((3, 4, 6)))]
    assert make_dataset(tmp_path, places).hard_negatives == [(0, 0)]


def test_a_place_outside_of_the_volume_is_moved_inside(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [HardNegative("anna", lps((500, 40, 6)))])
    assert dataset[Draw(0, "hard_negative", 0, 1)]["image"].shape == (1, 17, 17)


@pytest.mark.parametrize(("places", "kind"), [(None, "background"), ([HardNegative("anna", lps((9, 9, 6)))], "hard")])
def test_the_share_of_hard_negatives_is_background_without_a_table(
    tmp_path: Path, places: list[HardNegative] | None, kind: str
) -> None:
    sampler = MixedSiteSampler(make_dataset(tmp_path, places), 4, 20, {"site": 0.5, "hard_negative": 0.5})
    draws = [draw for batch in sampler for draw in batch]
    assert sum(draw.kind.startswith(kind) for draw in draws) == 10
    assert len(draws) == 20


def test_the_table_keeps_position_and_source(tmp_path: Path) -> None:
    places = [HardNegative("a", (1.5, -2.25, 300.125), 0.75), HardNegative("b", (0.0, 0.0, 0.0), None, GIVEN)]
    write_hard_negatives(tmp_path / TABLE_NAME, places)
    assert read_hard_negatives(tmp_path / TABLE_NAME) == places


def test_every_wrong_field_of_the_table_is_named(tmp_path: Path) -> None:
    header = "case,center_lps_x_mm,center_lps_y_mm,center_lps_z_mm\n"
    (tmp_path / TABLE_NAME).write_text(header + "a,1,2,x\nb,nan,,3\n")
    with pytest.raises(DataError) as refused:
        read_hard_negatives(tmp_path / TABLE_NAME)
    assert [(finding.code, finding.message.split(":")[0]) for finding in refused.value.findings] == [
        ("TRN011", 'row 2, column "center_lps_z_mm"'),
        ("TRN011", 'row 3, column "center_lps_x_mm"'),
        ("TRN011", 'row 3, column "center_lps_y_mm"'),
    ]


def test_auto_takes_the_folder_s_table_if_there_is_one(tmp_path: Path) -> None:
    assert hard_negatives_path("auto", tmp_path) is None
    write_hard_negatives(tmp_path / TABLE_NAME, [])
    assert hard_negatives_path("auto", tmp_path) == tmp_path / TABLE_NAME
    assert hard_negatives_path("auto", tmp_path / "datalist.json") == tmp_path / TABLE_NAME
    assert hard_negatives_path(None, tmp_path) is None


def test_a_named_table_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no table of hard negatives"):
        hard_negatives_path(tmp_path / "absent.csv", tmp_path)


def blob(*indices: tuple[int, int, int], value: float = 0.9) -> torch.Tensor:
    tensor = torch.zeros(1, 40, 40, 12)
    for i, j, k in indices:
        tensor[0, i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = value
    return tensor


def mine(table: HardNegativeTable, prediction: torch.Tensor, label: torch.Tensor) -> None:
    affine = torch.from_numpy(AFFINE)
    item = {
        "pred": MetaTensor(prediction, affine=affine, meta={"case": "anna"}),
        "label": MetaTensor(label, affine=affine, meta={"case": "anna"}),
    }
    engine: Any = SimpleNamespace(state=SimpleNamespace(output=[item]))
    table.collect(engine)
    table.write(engine)


def test_what_touches_a_label_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / TABLE_NAME
    mine(HardNegativeTable(path), blob((10, 10, 6), (30, 30, 6)), blob((11, 11, 6), value=1.0))
    (place,) = read_hard_negatives(path)
    assert place.center_lps_mm == pytest.approx(lps((30, 30, 6)), abs=1e-3)
    assert (place.case, place.probability) == ("anna", pytest.approx(0.9))


def test_mining_again_replaces_what_was_mined_and_keeps_what_was_given(tmp_path: Path) -> None:
    path = tmp_path / TABLE_NAME
    write_hard_negatives(
        path, [HardNegative("ben", (1.0, 2.0, 3.0), None, GIVEN), HardNegative("ben", (4.0, 5.0, 6.0))]
    )
    mine(HardNegativeTable(path), blob((30, 30, 6)), blob())
    assert [(place.case, place.source) for place in read_hard_negatives(path)] == [("anna", "mined"), ("ben", GIVEN)]


def test_only_the_most_probable_are_kept(tmp_path: Path) -> None:
    path = tmp_path / TABLE_NAME
    mine(HardNegativeTable(path, most_per_case=1), blob((10, 10, 6)) + blob((30, 30, 6), value=0.5), blob())
    (place,) = read_hard_negatives(path)
    assert place.probability == pytest.approx(0.9)
