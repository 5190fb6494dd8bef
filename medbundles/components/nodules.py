"""From a probability volume to a list of nodules with world coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import cc3d
import numpy as np
import numpy.typing as npt

from medbundles.components.regions import highest_channel, label_regions
from medbundles.errors import ConfigurationError
from medbundles.io.grids import Affine, flip_lps, to_world, voxel_volume_mm3

# The class whose share is a column of its own in tables.
MALIGNANT: Final = "malignant"


@dataclass(frozen=True)
class Nodule:
    """One connected region of high probability.

    Attributes:
        case: the case's name.
        center_ras_mm: probability-weighted center, RAS+ mm.
        volume_mm3: volume of its voxels.
        peak_probability: highest probability in it, 0 to 1.
        mean_hu: mean intensity of its voxels; ``None`` without an image.
        first_slice: first slice along the file's last axis, counted from 0.
        last_slice: last slice, included.
        touches_border: whether it reaches the volume's border and may be cut off there.
        class_shares: by the name of each class what it has of the probability of all, as a mean over the voxels; the
            shares add up to 1. Empty where the network tells no classes apart.
    """

    case: str
    center_ras_mm: tuple[float, float, float]
    volume_mm3: float
    peak_probability: float
    mean_hu: float | None
    first_slice: int
    last_slice: int
    touches_border: bool
    class_shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def center_lps_mm(self) -> tuple[float, float, float]:
        """The center as LUNA16 and DICOM give it, LPS mm."""
        x, y, z = flip_lps(self.center_ras_mm)
        return float(x), float(y), float(z)

    @property
    def diameter_mm(self) -> float:
        """Diameter of the sphere of the same volume."""
        return float((6.0 * self.volume_mm3 / np.pi) ** (1.0 / 3.0))

    @property
    def class_name(self) -> str | None:
        """The class with the largest share, the first of equal ones; None where there are no classes."""
        return max(self.class_shares, key=lambda name: self.class_shares[name], default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, rounded to what the measurement can mean (0.01 mm, 0.01 mm3, 1e-6, 0.1 HU)."""
        return {
            "case": self.case,
            "center_lps_mm": [round(value, 2) for value in self.center_lps_mm],
            "center_ras_mm": [round(value, 2) for value in self.center_ras_mm],
            "diameter_mm": round(self.diameter_mm, 2),
            "volume_mm3": round(self.volume_mm3, 2),
            "peak_probability": round(self.peak_probability, 6),
            "mean_hu": None if self.mean_hu is None else round(self.mean_hu, 1),
            "first_slice": self.first_slice,
            "last_slice": self.last_slice,
            "touches_border": self.touches_border,
            **self._classification(),
        }

    def _classification(self) -> dict[str, Any]:
        if not self.class_shares:
            return {}
        malignant = self.class_shares.get(MALIGNANT)
        return {
            **({} if malignant is None else {"malignancy_probability": round(malignant, 6)}),
            "class": self.class_name,
        }


def find_nodules(
    probabilities: npt.NDArray[Any],
    affine: Affine,
    case: str,
    threshold: float = 0.5,
    image: npt.NDArray[Any] | None = None,
    min_volume_mm3: float = 0.0,
    candidate_threshold: float | None = None,
    classes: Sequence[str] = (),
) -> list[Nodule]:
    """Return the regions of :func:`medbundles.components.regions.label_regions`, most probable first.

    Args:
        probabilities: ``(H, W, D)``, 0 to 1, or those of several classes ``(C, H, W, D)``: a voxel's highest one makes
            the regions.
        affine: 4x4, voxel index to RAS+ mm.
        case: the case's name.
        threshold: a voxel belongs to a nodule above this probability.
        image: HU on the same grid, for the mean intensity.
        min_volume_mm3: smaller regions are left out.
        candidate_threshold: above this voxels form regions; ``None``: above ``threshold``.
        classes: names of the channels, where there are several that shall be told apart.

    Raises:
        ConfigurationError: another number of names than of channels.
    """
    channels = probabilities if probabilities.ndim == 4 else probabilities[None]
    if classes and len(classes) != len(channels):
        raise ConfigurationError(f"{len(channels)} channels of probabilities need as many names, got {list(classes)}")
    probabilities = highest_channel(channels)
    found = label_regions(probabilities, threshold, candidate_threshold=candidate_threshold)
    if found is None:
        return []
    labels, box = found
    statistics = cc3d.statistics(np.ascontiguousarray(labels, dtype=np.uint32))
    voxel_mm3 = voxel_volume_mm3(affine)
    nodules = []
    for number in range(1, len(statistics["voxel_counts"])):
        count = int(statistics["voxel_counts"][number])
        if count == 0 or count * voxel_mm3 < min_volume_mm3:
            continue
        inner: tuple[slice, ...] = statistics["bounding_boxes"][number]
        place = tuple(
            slice(part.start + outer.start, part.stop + outer.start) for part, outer in zip(inner, box, strict=True)
        )
        member = labels[inner] == number
        nodule = _measure(probabilities, affine, case, image, member, place)
        shares = _class_shares(channels[(slice(None), *place)][:, member], classes)
        nodules.append(replace(nodule, class_shares=shares) if shares else nodule)
    return sorted(nodules, key=_rank)


def _measure(
    probabilities: npt.NDArray[Any],
    affine: Affine,
    case: str,
    image: npt.NDArray[Any] | None,
    member: npt.NDArray[np.bool_],
    place: tuple[slice, ...],
) -> Nodule:
    values = np.asarray(probabilities[place][member], dtype=np.float64)
    points = np.argwhere(member) + [part.start for part in place]
    x, y, z = to_world(affine, np.average(points, axis=0, weights=values))
    limits = zip(place, probabilities.shape, strict=True)
    return Nodule(
        case=case,
        center_ras_mm=(float(x), float(y), float(z)),
        volume_mm3=len(values) * voxel_volume_mm3(affine),
        peak_probability=float(values.max()),
        mean_hu=None if image is None else float(np.mean(image[place][member], dtype=np.float64)),
        first_slice=int(place[2].start),
        last_slice=int(place[2].stop) - 1,
        touches_border=any(part.start == 0 or part.stop == size for part, size in limits),
    )


def _class_shares(values: npt.NDArray[Any], classes: Sequence[str]) -> dict[str, float]:
    """Return each class's mean share of the probability of all, over voxels with the probabilities ``(C, n)``."""
    if not classes:
        return {}
    # No voxel of a finding has a probability of 0 in every channel.
    shares = np.mean(values / values.sum(axis=0, dtype=np.float64), axis=1)
    return {name: float(share) for name, share in zip(classes, shares, strict=True)}


def _rank(nodule: Nodule) -> tuple[float, float, Sequence[float]]:
    return -nodule.peak_probability, -nodule.volume_mm3, nodule.center_ras_mm
