"""One case: a brain, perhaps with tumors, in four contrasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.samples.head.shape import HeadShape
from medbundles.samples.head.template import read_template
from medbundles.samples.seeding import stream
from medbundles.samples.tumor.anatomy import BOX, SHAPE, make_brain, random_place
from medbundles.samples.tumor.extras import draw_extras
from medbundles.samples.tumor.images import render, textures
from medbundles.samples.tumor.lesions import Lesion, Parts, draw_lesion, grow
from medbundles.samples.tumor.relaxation import CONTRASTS, Protocol, person

# How often a case has so many tumors.
COUNTS = {0: 0.05, 1: 0.75, 2: 0.1, 3: 0.06, 5: 0.04}
LARGEST_CORE_MM = 28.0
# Of several tumors the further ones are small, as metastases are.
SMALL_CORE_MM = 9.0


@dataclass(frozen=True)
class TumorCase:
    """A case on the challenges' grid.

    Attributes:
        images: contrast to ``(240, 240, 155)`` int16, 0 outside of the brain.
        label: ``(240, 240, 155)`` uint8: 1 core that does not enhance, 2 edema, 3 enhancing tumor.
        record: what no scanner tells: tumors, volumes in ml.
    """

    images: dict[str, npt.NDArray[np.int16]]
    label: npt.NDArray[np.uint8]
    record: dict[str, Any]


def make_case(seed: int, case: int) -> TumorCase:
    """Return a case; it depends on the seed and its number alone.

    Args:
        seed: of the data set.
        case: the case's number.

    Raises:
        EnvironmentFailure: nilearn, whose wheel carries the template, is not installed.
    """
    generator = stream(seed, case, "tumor")
    shape = HeadShape.draw(seed, case)
    lesions = _draw_lesions(generator, shape)
    brain = make_brain(seed, case, shape, [lesion.push for lesion in lesions])
    parts = Parts.nothing(brain.shape)
    for lesion in lesions:
        grow(generator, lesion, brain, parts)
    extras = draw_extras(stream(seed, case, "extras"), brain)
    brain.mask[extras.remnant > 0] = True
    tissues, protocol = person(stream(seed, case, "tissues")), Protocol.draw(stream(seed, case, "protocol"))
    texture = textures(stream(seed, case, "texture"), brain, parts)
    images = {}
    for contrast in CONTRASTS:
        part = render(stream(seed, case, contrast), contrast, brain, parts, extras, tissues, protocol, texture)
        images[contrast] = _whole(part)
    label = _whole(np.where(brain.mask, parts.label, 0).astype(np.uint8))
    return TumorCase(images, label, _record(case, lesions, label))


def _draw_lesions(generator: np.random.Generator, shape: HeadShape) -> list[Lesion]:
    count = int(generator.choice(list(COUNTS), p=list(COUNTS.values())))
    template = read_template()
    return [
        draw_lesion(
            generator, random_place(generator, shape, template), LARGEST_CORE_MM if number == 0 else SMALL_CORE_MM
        )
        for number in range(count)
    ]


def _whole(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    whole = np.zeros(SHAPE, part.dtype)
    whole[BOX] = part
    return whole


def _record(case: int, lesions: list[Lesion], label: npt.NDArray[np.uint8]) -> dict[str, Any]:
    volumes = {
        name: round(float((label == value).sum()) / 1000, 3) for name, value in (("ncr", 1), ("ed", 2), ("et", 3))
    }
    return {"case": case, "volumes_ml": volumes, "tumors": [lesion.as_record() for lesion in lesions]}
