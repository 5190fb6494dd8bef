"""The lung box is never smaller than the lungs and what grows at their walls."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest
import torch

from medbundles.components.inferers import find_lung_box, find_lungs
from medbundles.components.inferers.tissue import Tissue

AIR, LUNG, TISSUE = -1000, -850, 40
Volume = npt.NDArray[np.int16]


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> list[npt.NDArray[np.float32]]:
    """Positions in mm relative to the volume's middle, one open axis each."""
    middle = [(np.arange(size, dtype=np.float32) - size / 2) * edge for size, edge in zip(shape, spacing, strict=True)]
    return list(np.ix_(*middle))


def chest(
    shape: tuple[int, int, int] = (128, 128, 60),
    spacing: tuple[float, float, float] = (2.8, 2.8, 5.0),
    emphysema: bool = False,
    noise: float = 30.0,
) -> Volume:
    """A body in air with two lungs of 100 x 150 x 220 mm, and a table below it."""
    x, y, z = grid(shape, spacing)
    volume = np.full(shape, AIR, dtype=np.float32)
    volume[np.broadcast_to((x / 170) ** 2 + (y / 115) ** 2 < 1, shape)] = TISSUE
    for side in (-1, 1):
        lung = ((x - side * 80) / 50) ** 2 + (y / 75) ** 2 + (z / 110) ** 2 < 1
        volume[lung] = -945 if emphysema else LUNG
    volume[np.broadcast_to((np.abs(x) < 170) & (y > 130) & (y < 136), shape)] = -200
    volume += np.random.default_rng(0).normal(0, noise, shape)
    return np.clip(volume, -1024, 3000).astype(np.int16)


def counted(tissue: Tissue, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """What counts of a volume, ``(H, W, D)``."""
    mask = np.zeros(shape, dtype=bool)
    rows, columns, levels = tissue.box
    mask[tissue.box] = tissue.inside(rows, columns, range(levels.start, levels.stop)).transpose(1, 2, 0)
    return mask


def inside(tissue: Tissue | None, mask: npt.NDArray[np.bool_]) -> bool:
    return tissue is None or not (mask & ~counted(tissue, mask.shape)).any()


def lungs(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> npt.NDArray[np.bool_]:
    x, y, z = grid(shape, spacing)
    return (((np.abs(x) - 80) / 50) ** 2 + (y / 75) ** 2 + (z / 110) ** 2) < 1


def share(found: Tissue | None, volume: Volume) -> float:
    return 1.0 if found is None else float(np.prod([part.stop - part.start for part in found.box]) / volume.size)


def test_the_box_holds_the_lungs_and_leaves_most_of_the_scan_out() -> None:
    volume = chest()
    found = find_lungs(volume, (2.8, 2.8, 5.0))
    assert inside(found, lungs(volume.shape, (2.8, 2.8, 5.0)))
    assert share(found, volume) < 0.45


@pytest.mark.parametrize("radius", [2.0, 5.0, 15.0, 25.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [-1, 1])
def test_nodules_at_the_pleura_stay_inside(radius: float, axis: int, side: int) -> None:
    shape, spacing = (128, 128, 60), (2.8, 2.8, 5.0)
    volume = chest(shape, spacing)
    center = np.array([side * 80.0, 0.0, 0.0])
    center[axis] += side * ((50, 75, 110)[axis] - radius / 2)
    x, y, z = grid(shape, spacing)
    nodule = (x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2 <= radius**2
    volume[nodule] = TISSUE
    assert inside(find_lungs(volume, spacing), nodule)


def test_a_lung_without_air_stays_inside() -> None:
    shape, spacing = (128, 128, 60), (2.8, 2.8, 5.0)
    volume = chest(shape, spacing)
    left = lungs(shape, spacing) & (np.arange(128) < 64)[:, None, None]
    volume[left] = TISSUE
    assert inside(find_lungs(volume, spacing), left)


def test_emphysema_is_lung() -> None:
    volume = chest(emphysema=True)
    assert inside(find_lungs(volume, (2.8, 2.8, 5.0)), lungs(volume.shape, (2.8, 2.8, 5.0)))


@pytest.mark.parametrize("noise", [0.0, 150.0])
def test_noise_of_low_dose_scans_changes_nothing(noise: float) -> None:
    volume = chest(noise=noise)
    found = find_lungs(volume, (2.8, 2.8, 5.0))
    assert inside(found, lungs(volume.shape, (2.8, 2.8, 5.0)))
    assert share(found, volume) < 0.5


def test_a_scan_cropped_to_the_lungs_is_kept_whole() -> None:
    volume = chest()[20:108, 40:90, 10:50]
    found = find_lungs(volume, (2.8, 2.8, 5.0))
    assert share(found, volume) > 0.95


def test_lungs_that_leak_into_the_air_around_stay_inside() -> None:
    shape, spacing = (128, 128, 60), (2.8, 2.8, 5.0)
    volume = chest(shape, spacing)
    volume[:, 64, 30] = LUNG  # from side to side through both lungs
    volume[:, 63, 30] = LUNG
    volume[:, 62, 30] = LUNG
    assert inside(find_lungs(volume, spacing), lungs(shape, spacing))


@pytest.mark.parametrize("depth", [1, 3, 11])
def test_slabs_of_a_few_slices_are_searched_too(depth: int) -> None:
    shape, spacing = (128, 128, 60), (2.8, 2.8, 2.5)
    volume = chest(shape, spacing)[..., 24 : 24 + depth]
    found = find_lungs(volume, spacing)
    assert inside(found, lungs(shape, spacing)[..., 24 : 24 + depth])
    assert share(found, volume) < 0.8


def test_slices_without_lung_are_left_out() -> None:
    volume = np.concatenate([np.full((128, 128, 40), AIR, np.int16), chest(), chest()[..., [0] * 40]], axis=2)
    found = find_lungs(volume, (2.8, 2.8, 5.0))
    assert found is not None
    assert found.box[2].start > 35
    assert found.box[2].stop < 100


def test_padding_around_a_round_field_of_view_is_air() -> None:
    volume = chest()
    x, y, _ = grid(volume.shape, (2.8, 2.8, 5.0))
    volume[np.broadcast_to(x**2 + y**2 > 178**2, volume.shape)] = -3024
    assert share(find_lungs(volume, (2.8, 2.8, 5.0)), volume) < 0.45


@pytest.mark.parametrize("value", [AIR, TISSUE, 0])
def test_a_volume_without_lungs_has_no_box(value: int) -> None:
    assert find_lung_box(np.full((64, 64, 20), value, np.int16), (2.8, 2.8, 5.0)) is None


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 200, 5), (5, 5, 1)])
def test_tiny_volumes_have_no_box(shape: tuple[int, int, int]) -> None:
    assert find_lung_box(np.full(shape, LUNG, np.int16), (0.7, 0.7, 1.0)) is None


def test_broken_voxels_do_not_disturb() -> None:
    volume = chest().astype(np.float32)
    volume[::7, ::7, ::5] = np.nan
    assert inside(find_lungs(volume, (2.8, 2.8, 5.0)), lungs(volume.shape, (2.8, 2.8, 5.0)))


def test_tensors_give_the_box_of_arrays() -> None:
    volume = chest()
    expected = find_lung_box(volume, (2.8, 2.8, 5.0))
    assert find_lung_box(torch.from_numpy(volume), (2.8, 2.8, 5.0)) == expected


def test_a_whole_chest_takes_a_fraction_of_a_second() -> None:
    volume = np.repeat(chest((512, 512, 60), (0.7, 0.7, 5.0)), 5, axis=2)
    start = time.perf_counter()
    found = find_lungs(volume, (0.7, 0.7, 1.0))
    elapsed = time.perf_counter() - start
    assert share(found, volume) < 0.5
    assert elapsed < 3, "0.2 s on an idle machine"


def test_the_air_around_and_the_skin_do_not_count_even_inside_of_the_box() -> None:
    volume, spacing = chest(), (2.8, 2.8, 5.0)
    tissue = find_lungs(volume, spacing)
    assert tissue is not None
    x, y, _ = grid(volume.shape, spacing)
    outside = np.broadcast_to((x / 170) ** 2 + (y / 115) ** 2 > 1, volume.shape)
    missed = outside & counted(tissue, volume.shape)
    assert missed.sum() < 0.02 * outside.sum()
    assert outside[tissue.box].sum() > 4 * missed.sum()


def test_a_side_without_air_counts_like_the_other() -> None:
    volume, spacing = chest(), (2.8, 2.8, 5.0)
    x, _, _ = grid(volume.shape, spacing)
    collapsed = np.where((volume < -400) & (x > 20) & (x < 150), np.int16(TISSUE), volume)
    assert inside(find_lungs(collapsed, spacing), lungs(volume.shape, spacing))


def test_points_are_drawn_from_what_counts_and_always_the_same() -> None:
    volume = chest()
    tissue = find_lungs(volume, (2.8, 2.8, 5.0))
    assert tissue is not None
    points = tissue.points(500)
    assert tissue.mask[tuple((points // tissue.steps).T)].all()
    np.testing.assert_array_equal(points, tissue.points(500))
    assert len(np.unique(points, axis=0)) > 490
