"""The synthetic chest: geometry, densities and the annotations' truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medbundles.samples.chest.blobs import random_blob
from medbundles.samples.chest.canvas import Canvas, polyline
from medbundles.samples.chest.fields import CoarseGrid, FieldReader, interpolation
from medbundles.samples.chest.grid import ScanGrid
from medbundles.samples.chest.nodules import draw_diameter
from medbundles.samples.chest.scan import STRUCTURES, Scan, make_scan
from medbundles.samples.chest.series_uid import series_uid
from medbundles.samples.chest.trees import grow_tree
from medbundles.samples.seeding import stream

GRID = ScanGrid(64, 10, 0.8, 2.0, 2, 0, (-25.2, -25.2, -9.0))


@pytest.fixture(scope="module")
def scan() -> Scan:
    return make_scan(seed=3, case=0, matrix=256, extent_mm=(60, 60))


def empty_canvas(hu: float = -850.0) -> Canvas:
    return Canvas(GRID, np.full(GRID.fine_shape, hu, dtype=np.float32))


def drawn_volume_mm3(canvas: Canvas, background: float = -850.0, hu: float = 50.0) -> float:
    return float(((canvas.hu - background) / (hu - background)).sum() * GRID.fine_voxel_mm3)


@pytest.mark.parametrize("radius", [0.3, 0.8])
def test_a_thread_has_the_volume_of_its_cylinder(radius: float) -> None:
    canvas, z = empty_canvas(), np.arange(-6, 6, 0.25)
    points = np.stack([0.3 * z, -0.2 * z, z], axis=1)
    step = np.full(len(z), 0.25 * np.linalg.norm((0.3, -0.2, 1)))
    canvas.draw_threads(points, np.full(len(z), radius), step, 50.0)
    assert drawn_volume_mm3(canvas) == pytest.approx(np.pi * radius**2 * step.sum(), rel=0.12)


def test_a_tube_has_the_volume_of_its_capsule() -> None:
    canvas = empty_canvas()
    canvas.draw_tubes(*polyline([(-5, -4, -4), (6, 5, 3)], [3, 3]), 50.0)
    length = np.linalg.norm((11, 9, 7))
    assert drawn_volume_mm3(canvas) == pytest.approx(np.pi * 9 * length + 4 / 3 * np.pi * 27, rel=0.05)


def test_drawing_never_makes_denser_tissue_lighter() -> None:
    canvas = empty_canvas(hu=300.0)
    canvas.draw_tubes(*polyline([(0, 0, -5), (0, 0, 5)], [3, 3]), 50.0)
    assert np.all(canvas.hu == 300)


def test_a_tube_outside_the_scan_changes_nothing() -> None:
    canvas = empty_canvas()
    canvas.draw_tubes(*polyline([(200, 0, -5), (200, 0, 5)], [3, 3]), 50.0)
    assert np.all(canvas.hu == -850)


def test_interpolation_reproduces_straight_lines() -> None:
    positions = np.linspace(4.1, 15.7, 23)
    matrix = interpolation(positions, first=0.0, step=2.0, count=12)
    np.testing.assert_allclose(matrix @ (2 * np.arange(12.0)), positions, rtol=1e-6)


def test_slices_and_boxes_of_a_field_agree() -> None:
    coarse = CoarseGrid.covering(np.array([-12, -30, -30]), np.array([12, 30, 30]), 4.0)
    values = np.random.default_rng(0).standard_normal(coarse.shape, dtype=np.float32)
    reader = FieldReader(values, coarse, GRID)
    box = (slice(3, 9), slice(10, 20), slice(40, 64))
    stacked = np.stack([reader.slice(number) for number in range(3, 9)])[:, 10:20, 40:64]
    np.testing.assert_allclose(reader.box(box), stacked, atol=1e-5)


def test_a_tree_reaches_every_point_and_keeps_murrays_law() -> None:
    points = np.random.default_rng(1).uniform(-40, 40, (300, 3))
    tree = grow_tree(points, np.array([-60.0, 0, 0]), np.array([1.0, 0, 0]), end_radius=0.3)
    ends = tree.end[np.isclose(tree.radius, 0.3)]
    nearest = np.linalg.norm(points[:, None] - ends[None], axis=-1).min(axis=1)
    assert len(ends) == len(points)
    assert np.quantile(nearest, 0.9) < 8
    assert np.all(tree.radius <= tree.parent_radius + 1e-9)


def test_a_blob_without_bumps_is_an_ellipsoid_of_the_wanted_volume() -> None:
    blob = random_blob(np.random.default_rng(2), (0, 0, 0), radius=6, stretch=1.5, lobes=0)
    distance = blob.distance(*GRID.coordinates(GRID.box((-25, -25, -10), (25, 25, 10))))  # type: ignore[arg-type]
    volume = np.clip(0.5 - distance / GRID.blur_mm, 0, 1).sum() * GRID.fine_voxel_mm3
    assert volume == pytest.approx(4 / 3 * np.pi * 216, rel=0.03)


def test_small_diameters_are_distributed_as_in_luna16() -> None:
    generator = np.random.default_rng(0)
    drawn = np.array([draw_diameter(generator) for _ in range(6000)])
    # Of LUNA16's nodules below 10 mm a quarter is below 4.9 mm and half below 5.8 mm.
    np.testing.assert_allclose(np.quantile(drawn[drawn < 10], [0.25, 0.5]), [4.9, 5.8], rtol=0.08)


def test_large_nodules_are_drawn_more_often_than_luna16_has_them() -> None:
    generator = np.random.default_rng(0)
    drawn = np.array([draw_diameter(generator) for _ in range(2000)])
    assert 0.2 < np.mean(drawn > 15.5) < 0.35
    assert drawn.max() < 30


def test_streams_of_different_purposes_differ() -> None:
    assert stream(0, 0, "vessels").random() != stream(0, 0, "nodules").random()


def test_series_uids_differ_between_seeds_and_cases() -> None:
    assert len({series_uid(seed, case) for seed in range(20) for case in range(20)}) == 400


def test_structures_have_streams_of_their_own() -> None:
    names = [name for name, _ in STRUCTURES]
    assert len(set(names)) == len(names)


def test_lung_density_lies_where_real_scans_have_it(scan: Scan) -> None:
    pieces, _ = ndimage.label(scan.array < -600)
    around = np.unique(pieces[:, [0, -1, 0, -1], [0, 0, -1, -1]])
    lung = ndimage.binary_erosion(~np.isin(pieces, [0, *around]), iterations=2)
    assert -970 < np.median(scan.array[lung]) < -770


@pytest.mark.parametrize("case", [0, 2, 4])
def test_density_grown_from_a_free_solid_nodules_center_has_the_annotated_diameter(case: int) -> None:
    scan = make_scan(seed=3, case=case, matrix=320, extent_mm=(60, 60))
    for nodule in scan.record["nodules"]:
        if nodule["type"] != "solid" or nodule["attachment"] != "free":
            continue
        # Strands are not part of what is annotated, and a cavity is no part of what is grown.
        if nodule["spiculation"] or nodule["tag"] or nodule["cavitary"]:
            continue
        index = (np.array(nodule["center_lps_mm"]) - scan.offset_lps_mm) / scan.spacing_mm
        i, j, k = np.rint(index).astype(int)
        half_way = (nodule["hu"] + scan.record["lung_hu"]) / 2
        z, y, x = (
            (np.arange(size) - at) * step
            for size, at, step in zip(scan.array.shape, index[::-1], scan.spacing_mm[::-1], strict=True)
        )
        # Thin vessels that pass nearby are not kept off; growth stops where the reference system's box would.
        near = x**2 + y[:, None] ** 2 + z[:, None, None] ** 2 < (0.8 * nodule["diameter_mm"]) ** 2
        parts, _ = ndimage.label((scan.array > half_way) & near)
        volume = np.sum(parts == parts[k, j, i]) * np.prod(scan.spacing_mm)
        assert (6 * volume / np.pi) ** (1 / 3) == pytest.approx(nodule["diameter_mm"], rel=0.2)
