"""The parts that tumor samples are made of."""

from __future__ import annotations

import numpy as np
import pytest

from medbundles.samples.tumor.case import COUNTS
from medbundles.samples.tumor.fields import at_places, smooth_field, step
from medbundles.samples.tumor.lesions import KINDS, draw_lesion
from medbundles.samples.tumor.relaxation import TISSUES, Protocol, person

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
