"""Where a T1w lies beside its diffusion MRI, whether that will do for training (DWI010), and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.checks.nifti import allow_option
from medbundles.components.diffusion.preparation import FittedScan
from medbundles.components.diffusion.tensor import ENTRIES, DiffusionMaps
from medbundles.components.registration import WORKING_MM, Alignment, align_rigidly, refine_rigidly
from medbundles.components.resampling import isotropic_grid, resample
from medbundles.errors import Finding
from medbundles.io.grids import Affine, to_index, to_world
from medbundles.io.images import Volume

Floats = npt.NDArray[np.floating[Any]]

# Between the two images of one session people move by 1 to 3 mm. Sample heads are found 0.8 to 2.7 mm away, which is
# right to 1.4 mm (refined: 0.4), a real one in three scans 2.6 to 3.4 mm; moved by 8 mm, all are beyond the limit.
LARGEST_DISPLACEMENT_MM = 5.0
# Nobody moves farther between two images: the headers may mean other worlds, and a search may have gone astray.
LARGEST_MOVEMENT_MM = 20.0
# A real T1w that shows the upper head alone has 99 %, one that is moved by 30 mm less than 90 %.
LEAST_OVERLAP = 0.9
# Tissue is brighter than this share of the way from the dark to the bright end (percentiles) of a T1w.
TISSUE_SHARE = 0.1
ENDS = (2.0, 98.0)
# Mean diffusivity of free water at body temperature, um2/ms.
FREE_WATER = 3.0
DIAGONAL = [place for place, (row, column) in enumerate(ENTRIES) if row == column]


@dataclass(frozen=True)
class PlacedT1w:
    """A T1w beside its diffusion MRI.

    Attributes:
        volume: its voxels, with an affine to the diffusion MRI's world.
        alignment: what the search found.
        moved: whether it was moved there.
        overlap_before: share of the brain that lies in the head that the T1w shows, where it was.
        overlap_after: the same, where the search would move it.
        findings: DWI010.
    """

    volume: Volume
    alignment: Alignment
    moved: bool
    overlap_before: float
    overlap_after: float
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data for ``fingerprint.json``."""
        numbers = {
            "registered": self.moved,
            "displacement_mm": round(self.alignment.displacement_mm, 2),
            "overlap_before": round(self.overlap_before, 4),
            "overlap_after": round(self.overlap_after, 4),
            "information_before": round(self.alignment.information_before, 4),
            "information_after": round(self.alignment.information_after, 4),
        }
        return numbers | ({"transform": self.alignment.transform.round(6).tolist()} if self.moved else {})


def place_t1w(t1w: Volume, scan: FittedScan, register: bool, file: str) -> PlacedT1w:
    """Measure how a T1w lies beside its diffusion MRI, and move it where that is wanted and betters it.

    Args:
        t1w: as read.
        scan: the diffusion MRI.
        register: whether to move it.
        file: the T1w's name, for messages.
    """
    alignment = align_rigidly(t1w.array, t1w.affine, scan.b0, scan.affine, scan.maps.mask)
    if register:  # also where the first search found nothing: a millimeter or two it may not see
        target = tissue_contrast(scan.maps)
        alignment = refine_rigidly(alignment, t1w.array, t1w.affine, target, scan.affine, scan.maps.mask)
    moved = register and alignment.information_after > alignment.information_before
    brain = to_world(scan.affine, np.argwhere(scan.maps.mask))
    head, head_affine = find_head(t1w)
    before = share_inside(brain, head, head_affine)
    after = share_inside(to_world(alignment.transform, brain), head, head_affine)
    affine = np.linalg.inv(alignment.transform) @ t1w.affine if moved else t1w.affine
    findings = _judge(alignment, after if moved else before, register, moved, file)
    return PlacedT1w(Volume(t1w.array, affine), alignment, moved, before, after, tuple(findings))


def tissue_contrast(maps: DiffusionMaps) -> Floats:
    """Return what is like a T1w in diffusion: how far a voxel is from water that moves freely, 0 outside of the mask.

    Unlike the images themselves it has neither coil bias nor scalp.
    """
    mean = maps.tensor[..., DIAGONAL].mean(axis=-1)
    return np.where(maps.mask, FREE_WATER - np.clip(mean, 0, FREE_WATER), 0).astype(np.float32)


def find_head(t1w: Volume) -> tuple[npt.NDArray[np.bool_], Affine]:
    """Return the tissue that a T1w shows, one piece without holes, and its affine; in voxels of a few mm.

    A T1w whose skull was removed shows the brain alone.
    """
    affine, shape = isotropic_grid(t1w.affine, t1w.array.shape, WORKING_MM)
    coarse = resample(t1w.array, t1w.affine, affine, shape)
    dark, bright = np.percentile(coarse, ENDS)
    tissue = ndimage.binary_closing(np.pad(coarse > dark + TISSUE_SHARE * (bright - dark), 1))
    pieces, count = ndimage.label(tissue[1:-1, 1:-1, 1:-1])
    if not count:
        return np.zeros(shape, bool), affine
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(largest)), affine


def share_inside(places: Floats, mask: npt.NDArray[np.bool_], affine: Affine) -> float:
    """Return the share of places ``(n, 3)`` in mm that lie in voxels of a mask; outside of its grid none does."""
    index = np.rint(to_index(affine, places)).astype(int)
    on_grid = ((index >= 0) & (index < mask.shape)).all(axis=1)
    return float(mask[tuple(index[on_grid].T)].sum() / max(len(places), 1))


def _judge(alignment: Alignment, overlap: float, register: bool, moved: bool, file: str) -> list[Finding]:
    distance = alignment.displacement_mm
    information = f"mutual information {alignment.information_before:.3f}, {alignment.information_after:.3f} moved"
    fix = "take another T1w of the person" if register else "pass --register true"
    fix = f"{fix}, or where it lies well all the same {allow_option('DWI010')}"
    findings = []
    if distance > LARGEST_DISPLACEMENT_MM and not moved:
        tried = ", and no place for it was found" if register else ""
        message = f"the T1w lies {distance:.1f} mm off the diffusion images (limit {LARGEST_DISPLACEMENT_MM:g} mm)"
        findings.append(Finding("DWI010", "error", f"{message}{tried}; {information}", fix, file=file, allowable=True))
    if overlap < LEAST_OVERLAP:
        message = f"the T1w shows {100 * overlap:.0f} % of the brain (limit {100 * LEAST_OVERLAP:.0f} %)"
        findings.append(Finding("DWI010", "error", message, fix, file=file, allowable=True))
    if register and not findings:
        message = f"the T1w was moved by {distance:.1f} mm" if moved else "the T1w was left where it is"
        far = moved and distance > LARGEST_MOVEMENT_MM
        look = "that is far: look at the picture in previews/" if far else ""
        findings.append(Finding("DWI010", "warning" if far else "note", f"{message}; {information}", look, file=file))
    return findings
