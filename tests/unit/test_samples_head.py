"""Synthetic heads: anatomy where it belongs, diffusion as physics wants it, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pytest

from medbundles.checks.gradients import check_gradients
from medbundles.components.diffusion import compute_channels, fit_tensor
from medbundles.components.diffusion.brain_mask import find_brain
from medbundles.components.diffusion.coherence import Reading, count_links
from medbundles.io.gradients import GradientTable
from medbundles.io.grids import spacing_of
from medbundles.samples.head.geometry import grid
from medbundles.samples.head.scan import HeadScan, make_head
from medbundles.samples.head.shape import HeadShape
from medbundles.samples.head.sites import SITES, Site

pytest.importorskip("dipy", reason="the extra dwi is not installed")


def small(site: Site) -> Site:
    """The same scanner with voxels that take no time."""
    return replace(site, spacing_mm=(4.0, 4.0, 4.0), t1w_spacing_mm=(4.0, 4.0, 4.0), directions=12, unweighted=2)


@pytest.fixture(scope="module", params=SITES, ids=lambda site: site.name)
def head(request: pytest.FixtureRequest) -> HeadScan:
    return make_head(3, 0, small(request.param))


@pytest.fixture(scope="module")
def maps(head: HeadScan) -> dict[str, np.ndarray]:
    """What a tensor fit finds, in RAS order, with the brain's mask."""
    volumes = head.dwi.astype(np.float32)
    mask = find_brain(volumes[..., 0], head.dwi_affine)
    weighting, findings = check_gradients(GradientTable(head.b_values, head.directions), volumes.shape[-1])
    assert weighting is not None, findings
    names = ("fa", "md", "v1_xx", "v1_zz", "mean_b0")
    made = compute_channels(fit_tensor(volumes, head.dwi_affine, weighting, mask), names)
    found = dict(zip(names, made, strict=True)) | {"mask": mask.astype(np.float32)}
    return {name: upright(part, head.dwi_affine) for name, part in found.items()}


def upright(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return nibabel.as_closest_canonical(nibabel.Nifti1Image(volume, affine)).get_fdata()


def at(volume: np.ndarray, affine: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    """Return the voxels within 6 mm of a place of the world."""
    index = np.indices(volume.shape[:3]).reshape(3, -1)
    places = affine[:3, :3] @ index + affine[:3, 3:]
    near = np.linalg.norm(places - [[x], [y], [z]], axis=0) < 6
    return volume.reshape(-1, *volume.shape[3:])[near]


def test_the_brain_has_a_brain_s_size(maps: dict[str, np.ndarray]) -> None:
    liters = maps["mask"].sum() * 4.0**3 / 1e6
    assert 1.0 < liters < 2.1


def test_white_matter_is_brighter_than_gray_and_fluid_is_dark_in_t1w(head: HeadScan) -> None:
    white = np.median(at(head.t1w, head.t1w_affine, 26, -20, 32))
    ventricle = at(head.t1w, head.t1w_affine, 0, 0, 14).min()
    assert white > 1.5 * ventricle


def test_fluid_is_bright_without_and_dark_with_diffusion_weighting(head: HeadScan) -> None:
    voxels = at(head.dwi, head.dwi_affine, 8, -8, 18)
    fluid = voxels[np.argmax(voxels[:, 0])].astype(float)
    white = np.median(at(head.dwi, head.dwi_affine, 26, -20, 32), axis=0)
    assert fluid[0] > 1.3 * white[0]
    assert fluid[head.b_values > 0].mean() / fluid[0] < 0.5 * (white[head.b_values > 0].mean() / white[0])


def test_diffusion_is_that_of_a_brain(maps: dict[str, np.ndarray]) -> None:
    inside = maps["mask"] > 0
    assert 0.6 < np.median(maps["md"][inside]) < 1.3
    assert maps["fa"][inside].max() > 0.45
    assert np.median(maps["fa"][inside]) < 0.35


def near_the_midline(head: HeadScan, maps: dict[str, np.ndarray], lowest: float, highest: float) -> np.ndarray:
    """Return where white matter with one direction lies less than 6 mm from the middle, between two heights in mm."""
    upright_affine = nibabel.as_closest_canonical(nibabel.Nifti1Image(head.dwi[..., 0], head.dwi_affine)).affine
    index = np.indices(maps["fa"].shape).reshape(3, -1)
    x, y, z = (upright_affine[:3, :3] @ index + upright_affine[:3, 3:]).reshape(3, *maps["fa"].shape)
    middle = (np.abs(x) < 6) & (z > lowest) & (z < highest) & (np.abs(y) < 40)
    return (maps["fa"] > 0.35) & (maps["mask"] > 0) & middle


def test_fibers_of_the_corpus_callosum_run_from_side_to_side(head: HeadScan, maps: dict[str, np.ndarray]) -> None:
    # Above the brain stem, whose fibers rise, and below the gyri at the falx, whose fibers rise as well.
    crossing = near_the_midline(head, maps, 5, 35)
    assert crossing.sum() > 20
    assert np.median(maps["v1_xx"][crossing]) > 0.9


def test_fibers_rise_into_the_gyri_beside_the_falx(head: HeadScan, maps: dict[str, np.ndarray]) -> None:
    rising = near_the_midline(head, maps, 45, 65)
    assert rising.sum() > 10
    assert np.median(maps["v1_zz"][rising]) > 0.5


def test_the_gradients_directions_are_the_ones_that_make_fibers_run_on(head: HeadScan) -> None:
    volumes = head.dwi.astype(np.float32)
    mask = find_brain(volumes[..., 0], head.dwi_affine)
    weighting, _ = check_gradients(GradientTable(head.b_values, head.directions), volumes.shape[-1])
    assert weighting is not None
    links, _ = count_links(fit_tensor(volumes, head.dwi_affine, weighting, mask), head.dwi_affine)
    assert max(links, key=lambda reading: links[reading]) == Reading()


def test_left_and_right_are_not_exchanged_between_the_images(head: HeadScan) -> None:
    # The person's shape is not symmetric: the right images of it overlap better than mirrored ones.
    t1w = nibabel.as_closest_canonical(nibabel.Nifti1Image(head.t1w, head.t1w_affine))
    brain = find_brain(head.dwi[..., 0].astype(np.float32), head.dwi_affine)
    places = np.argwhere(brain) @ head.dwi_affine[:3, :3].T + head.dwi_affine[:3, 3]

    def brightness(mirrored: bool) -> float:
        world = places * ([-1, 1, 1] if mirrored else [1, 1, 1])
        index = np.rint((world - t1w.affine[:3, 3]) @ np.linalg.inv(t1w.affine[:3, :3]).T).astype(int)
        index = np.clip(index, 0, np.array(t1w.shape) - 1)
        b0 = head.dwi[..., 0][brain].astype(float)
        return float(np.corrcoef(t1w.get_fdata()[tuple(index.T)], b0)[0, 1])

    assert brightness(False) < brightness(True) < 0  # fluid is dark in one and bright in the other


def test_the_files_say_where_the_voxels_are(head: HeadScan) -> None:
    assert spacing_of(head.dwi_affine) == pytest.approx((4.0, 4.0, 4.0))
    assert nibabel.aff2axcodes(head.t1w_affine) == tuple(
        next(site.t1w_axes for site in SITES if site.name == head.record["site"])
    )
    assert len(head.b_values) == len(head.directions) == head.dwi.shape[-1]


def test_the_same_seed_gives_the_same_person() -> None:
    first, second = (make_head(1, 4, small(SITES[1])) for _ in range(2))
    assert np.array_equal(first.dwi, second.dwi)
    assert np.array_equal(first.t1w, second.t1w)


def test_another_number_gives_another_person() -> None:
    places = np.random.default_rng(0).uniform(-60, 60, (3, 50))
    first, second = (HeadShape.draw(0, case).to_template(places) for case in (0, 1))
    assert np.linalg.norm(first - second, axis=0).mean() > 2.0


def test_a_shape_bends_but_does_not_tear() -> None:
    axis = np.arange(-60.0, 61.0, 5.0)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    mapped = HeadShape.draw(0, 5).to_template(points).reshape(3, *[len(axis)] * 3)
    slopes = np.stack([np.gradient(mapped[row], 5.0) for row in range(3)])  # (row, axis, x, y, z)
    assert np.linalg.det(slopes.transpose(2, 3, 4, 0, 1)).min() > 0.1


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR"])
def test_a_grid_has_the_axes_and_the_middle_it_is_asked_for(axes: str) -> None:
    affine, size = grid(axes, (1.0, 2.0, 4.0), (120, 160, 80), 0.0, (1.0, 2.0, 3.0))
    assert "".join(nibabel.aff2axcodes(affine)) == axes
    middle = affine @ [*((np.array(size) - 1) / 2), 1]
    assert middle[:3] == pytest.approx((1, 2, 3))


def test_a_tilted_grid_is_oblique() -> None:
    affine, _ = grid("RAS", (2.0, 2.0, 2.0), (100, 100, 100), 10.0)
    assert affine[1, 2] == pytest.approx(-2 * np.sin(np.deg2rad(10)))
