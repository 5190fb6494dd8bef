"""The parts that tumor samples are made of."""

from __future__ import annotations

import numpy as np
import pytest

from medbundles.samples.tumor.anatomy import Push, _push, _widen_ventricles
from medbundles.samples.tumor.case import COUNTS
from medbundles.samples.tumor.fields import at_places, doubled, smooth_field, step
from medbundles.samples.tumor.lesions import KINDS, draw_lesion
from medbundles.samples.tumor.relaxation import TISSUES, Protocol, person
from medbundles.samples.tumor.sampling import along_axes, blurred, shifted, thick_slices, truncated

GENERATOR = np.random.default_rng(0)


def protocols() -> list[Protocol]:
    return [Protocol.draw(np.random.default_rng(seed)) for seed in range(30)]


@pytest.mark.parametrize("width", [0.5, 3.0, 12.0])
def test_a_field_has_deviation_1_and_the_shape_asked_for(width: float) -> None:
    field = smooth_field(np.random.default_rng(0), (40, 50, 60), width)
    assert field.shape == (40, 50, 60)
    assert float(field.std()) == pytest.approx(1, abs=0.35)


def test_a_wider_field_changes_less_from_voxel_to_voxel() -> None:
    steps = [float(np.abs(np.diff(smooth_field(np.random.default_rng(0), (40, 40, 40), width), axis=0)).mean())
             for width in (2.0, 8.0)]  # fmt: skip
    assert steps[1] < steps[0] / 2


def test_places_are_interpolated_between_voxels() -> None:
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    index = np.array([[0.5, 1.0], [1.0, 0.5], [2.0, 1.5]], dtype=np.float32)
    (found,) = at_places([volume], index)
    np.testing.assert_allclose(found, [12, 15.5], atol=1e-4)


def test_outside_there_is_nothing_or_the_border() -> None:
    volume = np.full((3, 3, 3), 7, dtype=np.float32)
    index = np.full((3, 1), 9, dtype=np.float32)
    assert at_places([volume], index)[0][0] == 0
    assert at_places([volume], index, border=True)[0][0] == 7


@pytest.mark.parametrize("extent", [5, 6])
def test_every_other_value_is_doubled_in_place(extent: int) -> None:
    coarse = np.arange(0, extent + 1, 2, dtype=np.float32).reshape(1, -1, 1, 1).repeat(2, axis=2).repeat(2, axis=3)
    assert doubled(coarse, (extent, 3, 3))[0, :, 0, 0] == pytest.approx(range(extent))


def test_a_soft_step_goes_from_0_to_1() -> None:
    assert step(np.array([-9.0, 0.0, 9.0]), 0.5) == pytest.approx([0, 0.5, 1], abs=1e-6)


def test_fluid_is_dark_in_flair_and_bright_in_t2() -> None:
    for protocol in protocols():
        fluid, white = TISSUES["fluid"], TISSUES["white"]
        assert protocol.signal("t2f", fluid, fluid.t1_ms) < protocol.signal("t2f", white, fluid.t1_ms)
        assert protocol.signal("t2w", fluid, fluid.t1_ms) > 2 * protocol.signal("t2w", white, fluid.t1_ms)


def test_white_matter_is_brighter_than_gray_in_t1() -> None:
    for protocol in protocols():
        assert protocol.signal("t1n", TISSUES["white"], 4000) > protocol.signal("t1n", TISSUES["gray"], 4000)


def test_contrast_agent_brightens_t1() -> None:
    tissue = TISSUES["enhancing"]
    for protocol in protocols():
        assert protocol.signal("t1c", tissue.enhanced(1.0), 4000) > 1.2 * protocol.signal("t1c", tissue, 4000)


def test_edema_is_brighter_in_flair_than_gray_matter_in_everybody() -> None:
    for seed, protocol in enumerate(protocols()):
        tissues = person(np.random.default_rng(seed))
        edema, gray = (protocol.signal("t2f", tissues[name], tissues["fluid"].t1_ms) for name in ("edema", "gray"))
        assert edema > gray


@pytest.mark.parametrize("name", ["edema", "solid", "necrosis"])
def test_before_contrast_agent_tumors_are_darker_than_white_matter_in_nearly_everybody(name: str) -> None:
    people = [person(np.random.default_rng(seed)) for seed in range(30)]
    ratios = [
        protocol.signal("t1n", tissues[name], 4000) / protocol.signal("t1n", tissues["white"], 4000)
        for protocol, tissues in zip(protocols(), people, strict=True)
    ]
    assert np.quantile(ratios, 0.85) < 1


def test_old_blood_is_brighter_than_white_matter_before_contrast_agent() -> None:
    for protocol in protocols():
        bled, white = (protocol.signal("t1n", TISSUES[name], 4000) for name in ("bled", "white"))
        assert bled > white


def test_a_growing_tumor_pushes_tissue_away_and_leaves_what_is_far() -> None:
    world = np.zeros((3, 61, 1, 1), np.float32)
    world[0, :, 0, 0] = np.arange(61)
    before = world.copy()
    _push(world, Push(np.zeros(3), radius_mm=10.0, size_mm=4.0))
    moved = (before - world)[0, :, 0, 0]  # how much nearer to the middle what is now here was
    assert moved[10] == pytest.approx(4, abs=0.05)
    assert abs(moved[60]) < 0.5
    assert bool((np.diff(world[0, :, 0, 0]) > 0).all())  # nothing is folded


@pytest.mark.parametrize(("share", "wider"), [(0.4, True), (-0.2, False)])
def test_ventricles_become_wider_or_narrower(share: float, wider: bool) -> None:
    where = np.array([10.0, -14.0, 16.0], np.float32).reshape(3, 1, 1, 1)
    _widen_ventricles(where, share)
    assert (where[0, 0, 0, 0] < 10) == wider


def test_an_image_moved_by_half_a_voxel_is_the_mean_of_neighbors() -> None:
    image = np.eye(6, dtype=np.float32)[2]
    assert (shifted(6, 0.5) @ image).tolist() == [0, 0, 0.5, 0.5, 0, 0]
    assert (shifted(6, -0.5) @ image).tolist() == [0, 0.5, 0.5, 0, 0, 0]


def test_truncated_frequencies_ring_and_keep_the_mean() -> None:
    image = np.zeros(32, np.float32)
    image[10:20] = 1
    rung = truncated(32, kept=0.5) @ image
    assert rung.mean() == pytest.approx(image.mean(), abs=1e-5)
    assert rung.max() > 1.03


@pytest.mark.parametrize("matrix", [blurred(31, 1.0), thick_slices(31, 4.0)])
def test_resolution_keeps_what_is_even_and_hides_what_is_small(matrix: np.ndarray) -> None:
    assert matrix @ np.ones(31) == pytest.approx(np.ones(31), abs=1e-3)
    assert (matrix @ (np.arange(31) % 2)).std() < 0.1


def test_each_axis_has_its_own_matrix() -> None:
    image = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    turned = along_axes(image, [np.eye(3)[::-1], np.eye(4), np.eye(5)[::-1]])
    np.testing.assert_allclose(turned, image[::-1, :, ::-1], atol=1e-6)


def test_every_kind_of_tumor_is_drawn() -> None:
    generator = np.random.default_rng(0)
    kinds = {draw_lesion(generator, np.zeros(3), 30.0).kind for _ in range(200)}
    assert kinds == set(KINDS)


def test_no_core_is_larger_than_it_may_be() -> None:
    generator = np.random.default_rng(0)
    assert max(draw_lesion(generator, np.zeros(3), 9.0).radius_mm for _ in range(200)) <= 9.0


def test_some_brains_have_no_tumor_and_some_have_several() -> None:
    assert COUNTS[0] > 0
    assert sum(share for count, share in COUNTS.items() if count > 1) == pytest.approx(0.2)
    assert sum(COUNTS.values()) == pytest.approx(1)
