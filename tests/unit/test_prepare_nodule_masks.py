from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medbundles.io.grids import flip_lps, to_index, to_world
from medbundles.prepare.nodule_masks import REACH, mask_nodule

LUNG, TISSUE = -860.0, 40.0


def distances(shape, affine, center):
    grid = np.stack(np.indices(shape), -1)
    return np.linalg.norm((grid - np.asarray(center)) @ affine[:3, :3].T, axis=-1)


def lung(shape=(40, 40, 40), seed=0):
    return np.random.default_rng(seed).normal(LUNG, 25, shape).astype(np.float32)


def nodule_in_lung(shape, affine, center, diameter, hounsfield=TISSUE):
    volume = lung(shape)
    volume[distances(shape, affine, center) <= diameter / 2] = hounsfield
    return volume


def painted(volume, mask):
    label = np.zeros(volume.shape, dtype=np.uint8)
    mask.paint(label)
    return label > 0


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def rotation(axis, angle):
    cross = np.cross(np.eye(3), np.asarray(axis) / np.linalg.norm(axis))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def affine_of(directions, spacing=(1.0, 1.0, 1.0), origin=(30.0, -70.0, 120.0)):
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = origin
    return affine


@pytest.mark.parametrize("rule", ["density", "sphere"])
@pytest.mark.parametrize("signs", list(itertools.product([-1, 1], repeat=3)))
def test_an_annotation_maps_into_its_mask_under_every_flip(signs, rule):
    affine = affine_of(np.diag(signs), spacing=(0.8, 0.7, 2.0))
    center_lps = flip_lps(to_world(affine, (21.3, 12.6, 8.4)))
    volume = nodule_in_lung((40, 36, 18), affine, (21.3, 12.6, 8.4), 9)
    label = painted(volume, mask_nodule(volume, affine, to_index(affine, flip_lps(center_lps)), 9, rule))
    found = flip_lps(to_world(affine, np.argwhere(label).mean(axis=0)))
    assert np.linalg.norm(found - center_lps) < 1.0


@given(
    angle=st.floats(-np.pi, np.pi),
    axis=st.tuples(*[st.floats(0.1, 1)] * 3),
    signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    center=st.tuples(*[st.floats(12, 26)] * 3),
)
@settings(max_examples=25, deadline=None)
def test_rotated_directions_keep_nodule_and_mask_together(angle, axis, signs, center):
    affine = affine_of(rotation(axis, angle) @ np.diag(signs), spacing=(1.0, 0.9, 1.3))
    volume = nodule_in_lung((40, 40, 40), affine, center, 10)
    truth = distances(volume.shape, affine, center) <= 5
    label = painted(volume, mask_nodule(volume, affine, to_index(affine, to_world(affine, center)), 10, "density"))
    assert dice(label, truth) > 0.9


def test_the_sphere_has_the_annotated_volume():
    affine = affine_of(np.eye(3), spacing=(0.7, 0.7, 1.25))
    mask = mask_nodule(lung(), affine, (20, 20, 20), 12, "sphere")
    assert mask.voxels.sum() * 0.7 * 0.7 * 1.25 == pytest.approx(np.pi / 6 * 12**3, rel=0.03)


def test_a_vessel_through_a_nodule_is_cut_off():
    affine = affine_of(np.eye(3))
    volume = nodule_in_lung((40, 40, 40), affine, (20, 20, 20), 12)
    volume[19:22, 19:22, :] = TISSUE
    label = painted(volume, mask_nodule(volume, affine, (20, 20, 20), 12, "density"))
    truth = distances(volume.shape, affine, (20, 20, 20)) <= 6
    assert dice(label, truth) > 0.9
    assert distances(volume.shape, affine, (20, 20, 20))[label].max() <= REACH * 6


@pytest.mark.parametrize("gap", [0.5, 0.7, 0.9])
def test_a_nodule_at_the_chest_wall_does_not_take_the_wall_with_it(gap):
    affine = affine_of(np.eye(3))
    center = (20.0, 20.0, 20.0)
    volume = nodule_in_lung((40, 40, 40), affine, center, 14)
    wall = np.zeros(volume.shape, dtype=bool)
    wall[int(20 + gap * 7) :] = True
    volume[wall] = TISSUE
    label = painted(volume, mask_nodule(volume, affine, center, 14, "density"))
    assert dice(label, distances(volume.shape, affine, center) <= 7) > 0.9


def test_the_box_does_not_run_through_dense_tissue_on_both_sides():
    affine = affine_of(np.eye(3))
    volume = np.full((60, 40, 40), TISSUE, dtype=np.float32)
    volume[:, :, 26:] = LUNG
    label = painted(volume, mask_nodule(volume, affine, (30, 20, 24), 8, "density"))
    assert label.sum() < 2 * np.pi / 6 * 8**3


@pytest.mark.parametrize(
    "center", [(20, 20, 0), (20, 20, 39), (0, 20, 20), (39, 39, 39), (20, -0.5, 20), (39.5, 20, 20)]
)
@pytest.mark.parametrize("rule", ["density", "sphere"])
def test_a_nodule_at_the_border_of_the_volume_survives(center, rule):
    affine = affine_of(np.eye(3))
    volume = nodule_in_lung((40, 40, 40), affine, center, 10)
    truth = distances(volume.shape, affine, center) <= 5
    assert dice(painted(volume, mask_nodule(volume, affine, center, 10, rule)), truth) > 0.85


def test_a_ground_glass_nodule_below_the_threshold_is_found_by_its_own_contrast():
    affine = affine_of(np.eye(3))
    volume = nodule_in_lung((40, 40, 40), affine, (20, 20, 20), 14, hounsfield=-730)
    mask = mask_nodule(volume, affine, (20, 20, 20), 14, "density")
    assert mask.origin == "faint density"
    assert dice(painted(volume, mask), distances(volume.shape, affine, (20, 20, 20)) <= 7) > 0.9


def test_without_any_contrast_the_sphere_is_kept():
    mask = mask_nodule(lung(), affine_of(np.eye(3)), (20, 20, 20), 10, "density")
    assert mask.origin == "sphere"
    assert mask.voxels.sum() == pytest.approx(np.pi / 6 * 1000, rel=0.05)


@pytest.mark.parametrize("slice_position", [6.5, 7.5, 8.5])
def test_a_center_half_way_between_slices_always_takes_the_upper_one(slice_position):
    affine = affine_of(np.eye(3), spacing=(1.0, 1.0, 8.0))
    mask = mask_nodule(lung((20, 20, 16)), affine, (10, 10, slice_position), 0.8, "sphere")
    assert mask.origin == "center voxel"
    assert mask.start[2] + np.argwhere(mask.voxels)[0, 2] == slice_position + 0.5


@given(
    center=st.tuples(st.floats(-0.5, 19.5), st.floats(-0.5, 17.5), st.floats(-0.5, 8.5)),
    diameter=st.floats(0.5, 60),
    rule=st.sampled_from(["density", "sphere"]),
    level=st.sampled_from([-1000.0, LUNG, -710.0, TISSUE]),
)
@settings(max_examples=60, deadline=None)
def test_no_annotation_gives_an_empty_mask(center, diameter, rule, level):
    affine = affine_of(np.diag([-1, -1, 1]), spacing=(0.7, 0.7, 2.5))
    volume = np.full((20, 18, 9), level, dtype=np.int16)
    assert painted(volume, mask_nodule(volume, affine, center, diameter, rule)).any()
